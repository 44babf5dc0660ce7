"""Which language a text is in, told by its function words."""

# Letters that only look like other letters are the point of a word list in another script.
# ruff: noqa: RUF001

from __future__ import annotations

from agent_service.agents.documents.prose import words

_COMMONEST = {
    "de": "der die das und ist nicht mit den von zu ein eine auf für sich dem des im werden wird oder",
    "en": "the of and to in is that for it with as be this are or by not on from which you your",
    "es": "el la los las de que y en un una es por con para se del no su al como más",
    "fr": "le la les des et est un une du dans que qui pour pas sur par au avec ce sont il",
    "it": "il la di che e è un una per non con del della sono gli le dei si nel alla come",
    "nl": "de het een van en is dat niet op te in voor met zijn aan er worden wordt door ook",
    "pl": "i w na z nie się do jest to że o jak po za od przez są lub dla być",
    "pt": "o a os as de que e do da em um uma para com não por se na no dos como são",
    "ru": "и в не на что с по как это к из для он от но или а у же так",
    "sv": "och att det som en är på för av med den inte till har om ett de kan eller vid",
}
FUNCTION_WORDS = {code: frozenset(line.split()) for code, line in _COMMONEST.items()}
"""The commonest short words by ISO 639-1 code."""

_SAMPLE_CHARS = 20_000
_LEAST_HITS = 4
_LEAST_SHARE = 0.1
_LEAST_LEAD = 1.4


def detect_language(text: str) -> str | None:
    """Return the ISO 639-1 code of the language, or None unless one language's function words clearly lead."""
    sample = [word.casefold() for word in words(text[:_SAMPLE_CHARS])]
    hits = {code: sum(word in common for word in sample) for code, common in FUNCTION_WORDS.items()}
    first, second = sorted(hits, key=lambda code: hits[code], reverse=True)[:2]
    enough = max(_LEAST_HITS, _LEAST_SHARE * len(sample), _LEAST_LEAD * hits[second])
    return first if hits[first] >= enough else None
