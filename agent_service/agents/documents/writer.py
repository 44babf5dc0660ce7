"""Writes what the team found out as one Markdown report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from agent_service.agents.context import Context
from agent_service.agents.definition import agent
from agent_service.agents.documents.models import Extraction, KeyPhrase, Link, Plan, Report, ReportRequest, Review
from agent_service.agents.documents.prose import normal_form, words
from agent_service.agents.documents.ranking import rank_sentences

_OVERVIEW_SENTENCES = 3
_KEY_PHRASES = 15
_NAMES = 25
_DATES = 40
_LINKS = 60
_MARKUP = re.compile(r"[\\`*\[\]<>]|(?<!\w)_|_(?!\w)|&(?=#?\w{1,32};)|(?:(?<=\s)|^)#|^[-+=~](?=[\s=~-]|$)")
_LIST_NUMBER = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


@agent("writer", timeout=30, retries=2, version="1", owner="documents")
async def write(request: ReportRequest, context: Context) -> Report:
    """Writes one Markdown report from a plan, its extractions, summaries and review."""
    context.progress(0.0, "writing the report")
    title = request.title or request.plan.title or "Report"
    with context.tool("render-markdown", sections=len(request.summaries)) as span:
        markdown = render(title, request)
        span.set_attribute("chars", len(markdown))
    count = len(words(markdown))
    context.log.info("report written", extra={"words": count, "sections": len(request.summaries)})
    context.progress(1.0, "done")
    return Report(title=title, markdown=markdown, words=count, sections=len(request.summaries))


def render(title: str, request: ReportRequest) -> str:
    """Return the report; parts that have nothing to say are left out."""
    extractions = sorted(request.extractions, key=lambda extraction: extraction.index)
    parts = {
        "Overview": _overview(request),
        "Key phrases": _key_phrases(extractions),
        "Sections": _sections(request),
        "Names": _names(extractions),
        "Dates": _dates(request.plan, extractions),
        "Links": _links(extractions),
        "Review": _review(request.review),
    }
    bodies = {heading: "\n".join(lines).strip() for heading, lines in parts.items()}
    text = "\n\n".join(f"## {heading}\n\n{body}" for heading, body in bodies.items() if body)
    return f"# {escape(title)}\n\n{text}\n"


def escape(text: str) -> str:
    """Return Markdown that shows `text` as it is, on one line."""
    line = " ".join(text.split())
    return _LIST_NUMBER.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", line))


def _overview(request: ReportRequest) -> Iterator[str]:
    plan = request.plan
    code = f", {_count(plan.code_blocks, 'code block')} left out" if plan.code_blocks else ""
    yield f"{_count(plan.words, 'word')} in {_count(len(plan.sections), 'section')}{code}."
    sentences = [sentence for summary in request.summaries for sentence in summary.sentences]
    phrases = [phrase.phrase for phrase in _best_phrases(request.extractions)]
    picked = sorted(rank_sentences(sentences, phrases, _OVERVIEW_SENTENCES))
    if picked:
        yield ""
        yield escape(" ".join(sentences[at] for at in picked))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _best_phrases(extractions: list[Extraction]) -> list[KeyPhrase]:
    """Return the document's phrases: those of several sections first, then by score."""
    best: dict[str, KeyPhrase] = {}
    spread: Counter[str] = Counter()
    for extraction in extractions:
        for phrase in extraction.key_phrases:
            normal = normal_form(phrase.phrase)
            spread[normal] += 1
            best[normal] = min(best.get(normal, phrase), phrase, key=lambda each: each.score)
    ordered = sorted(best, key=lambda normal: (-spread[normal], best[normal].score))
    return [best[normal] for normal in ordered[:_KEY_PHRASES]]


def _key_phrases(extractions: list[Extraction]) -> Iterator[str]:
    yield ", ".join(escape(phrase.phrase) for phrase in _best_phrases(extractions))


def _sections(request: ReportRequest) -> Iterator[str]:
    for summary in sorted(request.summaries, key=lambda summary: summary.index):
        yield f"### {escape(summary.heading) or f'Section {summary.index + 1}'}"
        yield ""
        yield escape(" ".join(summary.sentences)) or "No prose."
        yield ""


def _names(extractions: list[Extraction]) -> Iterator[str]:
    counts = Counter(name for extraction in extractions for name in extraction.names)
    yield ", ".join(escape(name) for name, _ in counts.most_common(_NAMES))


def _dates(plan: Plan, extractions: list[Extraction]) -> Iterator[str]:
    headings = {section.index: section.heading for section in plan.sections}
    lines = {
        f"- {date.iso}: “{escape(date.text)}”" + (f" ({escape(heading)})" if heading else "")
        for extraction in extractions
        for heading in [headings.get(extraction.index, "")]
        for date in extraction.dates
    }
    yield from sorted(lines)[:_DATES]


def _links(extractions: list[Extraction]) -> Iterator[str]:
    links: dict[str, Link] = {}
    for extraction in extractions:
        for link in extraction.links:
            links.setdefault(link.url, link)
    for url, link in list(links.items())[:_LINKS]:
        yield f"- [{escape(link.text or url)}](<{_destination(url)}>)"


def _destination(url: str) -> str:
    """Return the URL with what would end a Markdown destination percent-encoded."""
    return "".join(f"%{ord(char):02X}" if char in "<>\\\n\r" else char for char in url)


def _review(review: Review | None) -> Iterator[str]:
    if review is None:
        return
    verdict = "Accepted" if review.accepted else "Not accepted"
    yield f"{verdict}: the summaries carry {review.coverage:.0%} of the key phrases in {review.ratio:.0%} of the words."
    if review.notes:
        yield ""
    yield from (f"- {escape(note)}" for note in review.notes)
