"""Which sentences of a text say the most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agent_service.agents.documents.prose import normal_form, words

_CONTENT_WORD_CHARS = 4
_FEWEST_WORDS = 5
_SALIENCE_WEIGHT = 0.2


def rank_sentences(sentences: Sequence[str], phrases: Sequence[str], count: int) -> list[int]:
    """Return the positions of the `count` most telling sentences, the most telling first.

    Each pick is the sentence that adds the most phrases which no earlier pick has, early phrases weighing more;
    salience, how common its content words are in the whole text, decides between equals. A larger `count` therefore
    only adds to what a smaller one picks.
    """
    wanted = list(dict.fromkeys(normal for phrase in phrases if (normal := normal_form(phrase)).strip()))
    weights = {phrase: 1 / (rank + 1) for rank, phrase in enumerate(wanted)}
    normal_forms = [normal_form(sentence) for sentence in sentences]
    carried = [{phrase for phrase in wanted if phrase in normal} for normal in normal_forms]
    salience = _salience(sentences)
    left = dict.fromkeys(range(len(sentences)))
    picked: list[int] = []
    covered: set[str] = set()
    while left and len(picked) < count:
        best = max(
            left,
            key=lambda at: sum(weights[phrase] for phrase in carried[at] - covered) + _SALIENCE_WEIGHT * salience[at],
        )
        del left[best]
        covered |= carried[best]
        picked.append(best)
    return picked


def _salience(sentences: Sequence[str]) -> list[float]:
    """Return for each sentence, from 0 to 1, how common its content words are; fragments and lead-ins count half."""
    content = [
        [word.casefold() for word in words(sentence) if len(word) >= _CONTENT_WORD_CHARS] for sentence in sentences
    ]
    counts = Counter(word for found in content for word in found)
    highest = max(counts.values(), default=1)
    scores = []
    for sentence, found in zip(sentences, content, strict=True):
        mean = sum(counts[word] for word in found) / (highest * len(found)) if found else 0.0
        whole = len(words(sentence)) >= _FEWEST_WORDS and not sentence.endswith(":")
        scores.append(mean if whole else mean / 2)
    return scores
