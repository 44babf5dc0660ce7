"""The phrases that a text is about."""

from __future__ import annotations

from collections.abc import Iterable

from agent_service.agents.documents.markup import BARE_URL
from agent_service.agents.documents.models import MAX_PHRASE_CHARS, KeyPhrase
from agent_service.agents.documents.prose import WORD, normal_form

_LONGEST_WORD = 40
_CANDIDATES_PER_PHRASE = 3


def key_phrases(sentences: Iterable[str], *, language: str | None, limit: int) -> list[KeyPhrase]:
    """Return at most `limit` phrases of one to three words, the most characteristic first.

    Args:
        sentences: The text.
        language: ISO 639-1 code whose stop words are left out; English where it is unknown.
        limit: Most phrases to return.
    """
    # Brings numpy, 20 MB and a second along, which only the process that extracts should pay for.
    import yake

    # YAKE reads a newline as a space: the full stop is what keeps sentences apart.
    text = ". ".join(filter(None, map(_clean, sentences)))
    extractor = yake.KeywordExtractor(lan=language or "en", n=3, top=limit * _CANDIDATES_PER_PHRASE)
    known = normal_form(text)
    phrases: list[KeyPhrase] = []
    taken: list[set[str]] = []
    for phrase, score in extractor.extract_keywords(text):
        normal = normal_form(phrase)
        parts = set(normal.split())
        usable = normal in known and len(phrase) <= MAX_PHRASE_CHARS and not normal.replace(" ", "").isdigit()
        if usable and not _repeats(parts, taken):
            phrases.append(KeyPhrase(phrase=phrase, score=max(0.0, round(float(score), 6))))
            taken.append(parts)
    return phrases[:limit]


def _clean(sentence: str) -> str:
    """Return words and commas only: long runs of anything else cost the tokenizer quadratic time."""
    parts: list[str] = []
    text = BARE_URL.sub(" , ", sentence)
    end = 0
    for match in WORD.finditer(text):
        if len(match[0]) <= _LONGEST_WORD:
            gap = text[end : match.start()]
            parts.append("" if not gap else " " if gap.isspace() else ", ")
            parts.append(match[0])
        end = match.end()
    return "".join(parts).strip(", ")


def _repeats(parts: set[str], taken: list[set[str]]) -> bool:
    """Whether more than half of the words are in one better phrase."""
    return any(2 * len(parts & other) > len(parts) for other in taken)
