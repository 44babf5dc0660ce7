"""Dates in running text."""

from __future__ import annotations

import re
from datetime import datetime

from dateutil.parser import ParserError, parse, parserinfo

from agent_service.agents.documents.models import MAX_DATES, Date

MONTHS = [
    ("jan", "january", "januar", "januari", "janvier", "enero", "gennaio", "janeiro"),
    ("feb", "february", "februar", "februari", "février", "febrero", "febbraio", "fevereiro"),
    ("mar", "march", "märz", "maart", "mars", "marzo", "março"),
    ("apr", "april", "avril", "abril", "aprile"),
    ("may", "mai", "mei", "maj", "mayo", "maggio", "maio"),
    ("jun", "june", "juni", "juin", "junio", "giugno", "junho"),
    ("jul", "july", "juli", "juillet", "julio", "luglio", "julho"),
    ("aug", "august", "augustus", "augusti", "août", "agosto"),
    ("sep", "sept", "september", "septembre", "septiembre", "settembre", "setembro"),
    ("oct", "october", "oktober", "octobre", "octubre", "ottobre", "outubro"),
    ("nov", "november", "novembre", "noviembre", "novembro"),
    ("dec", "december", "dezember", "décembre", "diciembre", "dicembre", "dezembro"),
]
"""The months of a year in the languages whose dates are read, in lower case."""

_MONTH = "|".join(sorted((name for names in MONTHS for name in names), key=len, reverse=True))
_DAY = r"\d{1,2}(?:st|nd|rd|th|er|º|\.)?"
_CANDIDATE = re.compile(
    rf"""(?<![\w.-])(?:
        (?P<iso>\d{{4}}-\d{{2}}-\d{{2}}(?:[T ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d{{1,6}})?)?(?:Z|[+-]\d{{2}}:?\d{{2}})?)?)
      | (?P<day>{_DAY}\ (?:de\ |of\ )?(?:{_MONTH})\.?,?\ (?:del?\ )?\d{{4}}
          | (?:{_MONTH})\.?\ \d{{1,2}}(?:st|nd|rd|th)?,?\ \d{{4}})
      | (?P<month>(?:{_MONTH})\.?,?\ (?:del?\ )?\d{{4}})
      | (?P<numeric>\d{{1,2}}(?P<mark>[./-])\d{{1,2}}(?P=mark)\d{{4}} | \d{{4}}/\d{{1,2}}/\d{{1,2}})
    )(?![\w/-]|\.\d)""",
    re.IGNORECASE | re.VERBOSE,
)


_FILLERS = [*parserinfo.JUMP, "de", "del", "er", "º"]


class _MonthNames(parserinfo):
    MONTHS = MONTHS  # type: ignore[assignment]  # its stub knows months of two or three names only
    JUMP = _FILLERS


_INFO = _MonthNames()
_START = datetime(1, 1, 1)  # noqa: DTZ001  # lends only the parts that a text leaves out


def find_dates(text: str) -> list[Date]:
    """Return the dates of `text` in order, each wording once.

    Months are read in English, German, French, Spanish, Italian, Portuguese, Dutch and Swedish. `03/04/2026` is not a
    date here, since nothing in it tells the day from the month; `03.04.2026` puts the day first, as it is written where
    dots are used.
    """
    found: dict[str, Date] = {}
    for match in _CANDIDATE.finditer(text):
        iso = _iso(match)
        if iso is not None:
            found.setdefault(match[0], Date(text=match[0], iso=iso))
        if len(found) == MAX_DATES:
            break
    return list(found.values())


def _iso(match: re.Match[str]) -> str | None:
    if match["mark"] and not _tells_day_from_month(match["numeric"], match["mark"]):
        return None
    try:
        value = parse(match[0], parserinfo=_INFO, default=_START, dayfirst=bool(match["mark"]))
    except (ParserError, OverflowError):
        return None
    if match["month"]:
        return value.strftime("%Y-%m")
    return value.isoformat() if ":" in match[0] else value.date().isoformat()


def _tells_day_from_month(text: str, mark: str) -> bool:
    first, second, _ = map(int, text.split(mark))
    if mark == ".":
        return second <= 12
    return first == second or max(first, second) > 12
