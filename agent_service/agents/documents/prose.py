"""Plain text as words and sentences, in time linear in its length."""

# Typographic quotes and full-width stops are what this module is about.
# ruff: noqa: RUF001

from __future__ import annotations

import re
from collections.abc import Iterator

_HAN_AND_KANA = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Vowel signs and accents that Python does not count as letters, though they are inside words.
_MARKS = r"\u0300-\u036f\u0591-\u05c7\u0610-\u065f\u0900-\u0903\u093a-\u094f\u0981-\u0dff\u0e31-\u0eff"
_LETTERS = rf"(?:[^\W{_HAN_AND_KANA}]|[{_MARKS}])"
WORD = re.compile(rf"[{_HAN_AND_KANA}]|[^\W_{_HAN_AND_KANA}]{_LETTERS}*(?:[-'’]{_LETTERS}+)*")
"""A word; scripts that put no spaces between words count each character as one."""

_IDEOGRAPHIC_STOP = re.compile(r"[。！？][」』”）]?")
_OPENERS = "\"'“‘«„([{*_¿¡"
_CLOSERS = "\"'”’»)]}*_"
_STOPS = (".", "!", "?", "…")
_IDEOGRAPHIC_STOPS = ("。", "！", "？")
_TITLES = ("mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "mme", "sra")
_CITATIONS = (
    "no",
    "nos",
    "nr",
    "cf",
    "fig",
    "figs",
    "eq",
    "sec",
    "art",
    "abs",
    "vgl",
    "vol",
    "ed",
    "eds",
    "al",
    "resp",
)
_LATIN = ("e.g", "i.e", "vs", "approx", "ca", "bzw", "z.b", "d.h", "u.a", "p.ej", "av")
_FIRMS = ("inc", "ltd", "corp", "dept")
_MONTHS = ("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec")
_ABBREVIATIONS = frozenset((*_TITLES, *_CITATIONS, *_LATIN, *_FIRMS, *_MONTHS))
_MAX_SENTENCE_WORDS = 60


def words(text: str) -> list[str]:
    """Return the words of `text`, in order."""
    return WORD.findall(text)


def normal_form(text: str) -> str:
    """Return the words of `text` in a form in which `a in b` finds whole phrases: folded, one space around each."""
    return f" {' '.join(word.casefold() for word in words(text))} "


def sentences(text: str) -> list[str]:
    """Split one paragraph into sentences; a sentence of more than 60 words is cut, at a clause where it has one."""
    tokens = _IDEOGRAPHIC_STOP.sub(r"\g<0> ", text).split()
    found: list[str] = []
    start = 0
    for at, token in enumerate(tokens):
        following = tokens[at + 1] if at + 1 < len(tokens) else None
        if following is None or _ends_sentence(token, following):
            found.extend(_cut(tokens[start : at + 1]))
            start = at + 1
    return found


def _ends_sentence(token: str, following: str) -> bool:
    bare = token.rstrip(_CLOSERS)
    if bare.endswith(_IDEOGRAPHIC_STOPS):
        return True
    word = bare[:-1].lstrip(_OPENERS)
    # "3. Oktober", "J. Smith", "e.g. this": the dot belongs to the word.
    short = (len(word) <= 2 and word.isdigit()) or (len(word) == 1 and word.isalpha())
    if bare.endswith(".") and (short or word.casefold() in _ABBREVIATIONS):
        return False
    return bare.endswith(_STOPS) and not following.lstrip(_OPENERS)[:1].islower()


def _cut(tokens: list[str]) -> Iterator[str]:
    start = 0
    while len(tokens) - start > _MAX_SENTENCE_WORDS:
        window = range(start + _MAX_SENTENCE_WORDS, start + _MAX_SENTENCE_WORDS // 3, -1)
        end = next((at for at in window if tokens[at - 1].endswith((";", ":", ","))), start + _MAX_SENTENCE_WORDS)
        yield " ".join(tokens[start:end])
        start = end
    yield " ".join(tokens[start:])
