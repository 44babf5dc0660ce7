"""Named things in running text: people, organisations, products, identifiers and acronyms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent_service.agents.documents.dates import MONTHS
from agent_service.agents.documents.language import FUNCTION_WORDS
from agent_service.agents.documents.models import MAX_NAMES, MAX_PHRASE_CHARS

_IDENTIFIER = re.compile(r"[^\W\d_]\w*[^\W_]_\w*|[^\W\d_][^\W_]*[a-z0-9][A-Z]\w*|[A-Z][A-Z0-9]*[A-Z][A-Z0-9]*(?:-\d+)?")
_BRACKET = re.compile(r"[()\[\]{}<>=/]")
_LONGEST_NAME = 60
_LONGEST_RUN = 6
_CONNECTORS = frozenset(("of", "de", "del", "della", "di", "da", "do", "dos", "du", "la", "van", "von", "der", "den"))
_OPENERS = "\"'“‘«„([{*"  # noqa: RUF001
_PUNCTUATION = _OPENERS + "\"'”’»)]}*.,;:!?…"  # noqa: RUF001
_SENTENCE_STARTS = frozenset(
    ("a", "all", "also", "although", "an", "any", "because", "but", "each", "every", "first", "here", "how", "however")
).union(
    ("if", "its", "many", "most", "no", "note", "please", "see", "since", "some", "such", "then", "there", "these"),
    ("they", "those", "thus", "unless", "until", "use", "we", "what", "when", "where", "while", "why", "without"),
)
_MONTH_NAMES = frozenset(name for names in MONTHS for name in names)
_NEVER_NAMES = _SENTENCE_STARTS.union(_MONTH_NAMES, *FUNCTION_WORDS.values())
_DAYS = frozenset(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"))


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    opens: bool
    """Whether it starts a sentence or a clause, where a capital says nothing."""
    closes: bool
    """Whether punctuation behind it ends a run."""

    @property
    def is_identifier(self) -> bool:
        return len(self.text) <= _LONGEST_NAME and _IDENTIFIER.fullmatch(self.text) is not None

    @property
    def is_capital(self) -> bool:
        return 1 < len(self.text) <= _LONGEST_NAME and self.text[0].isupper() and _BRACKET.search(self.text) is None


def find_names(sentences: Iterable[str], *, language: str | None) -> list[str]:
    """Return named things, the most frequent first.

    A capital at the start of a sentence counts only when the word is capitalized elsewhere too. German capitalizes
    every noun, so there only names of several words and identifiers count.
    """
    tokenized = [_tokens(sentence) for sentence in sentences]
    small = {token.text for tokens in tokenized for token in tokens if token.text.islower()}
    small |= _NEVER_NAMES | _DAYS
    counts: Counter[str] = Counter()
    doubtful: list[str] = []
    for tokens in tokenized:
        if _is_shouted(tokens):
            continue
        for run in _runs(tokens):
            name, certain = _name(run, small, single_words=language != "de")
            if certain:
                counts[name] += 1
            elif name:
                doubtful.append(name)
    counts.update(name for name in doubtful if name in counts)
    return [name for name, _ in counts.most_common(MAX_NAMES)]


def _tokens(sentence: str) -> list[_Token]:
    tokens = []
    opens = True
    for raw in sentence.split():
        text = raw.strip(_PUNCTUATION).removesuffix("'s").removesuffix("’s")  # noqa: RUF001
        closes = raw[-1] in _PUNCTUATION
        tokens.append(_Token(text, opens=opens or raw[0] in _OPENERS, closes=closes))
        opens = raw.endswith((":", ".", "!", "?", "…", "]")) or not text
    return tokens


def _is_shouted(tokens: list[_Token]) -> bool:
    long = [token.text for token in tokens if len(token.text) > 3 and token.text.isalpha()]
    return len(long) > 3 and 2 * sum(word.isupper() for word in long) > len(long)


def _runs(tokens: list[_Token]) -> Iterator[list[_Token]]:
    """Yield runs of capitalized words and identifiers, with connecting words such as "of" between two of them."""
    run: list[_Token] = []
    for at, token in enumerate(tokens):
        named = token.is_capital or token.is_identifier
        if named and run and token.opens:
            yield run
            run = []
        if named or (run and _connects(tokens, at)):
            run.append(token)
        if run and (token.closes or run[-1] is not token or len(run) == _LONGEST_RUN):
            yield run
            run = []
    if run:
        yield run


def _connects(tokens: list[_Token], at: int) -> bool:
    following = tokens[at + 1] if at + 1 < len(tokens) else None
    return tokens[at].text in _CONNECTORS and not tokens[at].closes and following is not None and following.is_capital


def _name(run: list[_Token], small: frozenset[str] | set[str], *, single_words: bool) -> tuple[str, bool]:
    """Return the name that a run of words is, if any, and whether more than a sentence's start speaks for it."""
    while run and not run[0].is_identifier and run[0].text.lower() in small:
        run = run[1:]
    # "Rename RetryPolicy" is a sentence's first word and a name, "Apache Kafka" is one name.
    if len(run) > 1 and run[0].opens and not run[0].is_identifier and run[1].is_identifier:
        run = run[1:]
    while run and run[-1].text in _CONNECTORS:
        run = run[:-1]
    if not run or (len(run) == 1 and not run[0].is_identifier and not single_words):
        return "", False
    name = " ".join(token.text for token in run)
    if len(name) > MAX_PHRASE_CHARS:
        return "", False
    return name, len(run) > 1 or run[0].is_identifier or not run[0].opens
