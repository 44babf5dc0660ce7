"""Holds summaries against what their sections are about."""

from __future__ import annotations

from dataclasses import dataclass

from agent_service.agents.context import Context
from agent_service.agents.definition import agent
from agent_service.agents.documents.models import SHORT_WORDS, Extraction, Review, ReviewRequest, SectionSummary
from agent_service.agents.documents.prose import normal_form

_TOP_PHRASES = 8
"""How many of a section's key phrases its summary is held against."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which of a section's top key phrases its summary carries."""

    index: int
    heading: str
    present: list[str]
    missing: list[str]
    improvable: bool

    @property
    def share(self) -> float:
        """The present ones' share, from 0 to 1; 1 where there is nothing to carry."""
        total = len(self.present) + len(self.missing)
        return len(self.present) / total if total else 1.0


@agent("critic", timeout=30, retries=2, version="1", owner="documents")
def review(request: ReviewRequest, context: Context) -> Review:
    """Checks that summaries carry the key phrases of their sections and are short enough."""
    with context.tool("score-coverage", sections=len(request.extractions)) as span:
        coverages = cover(request.summaries, request.extractions)
        verdict = judge(request, coverages)
        span.set_attribute("coverage", verdict.coverage)
    context.log.info(
        "summaries reviewed",
        extra={
            "accepted": verdict.accepted,
            "coverage": verdict.coverage,
            "ratio": verdict.ratio,
            "redo": len(verdict.redo),
        },
    )
    return verdict


def cover(summaries: list[SectionSummary], extractions: list[Extraction]) -> list[Coverage]:
    """Compare each extraction with the summary of the same section; a section without a summary carries nothing."""
    by_index = {summary.index: summary for summary in summaries}
    return [_cover(by_index.get(extraction.index), extraction) for extraction in extractions]


def _cover(summary: SectionSummary | None, extraction: Extraction) -> Coverage:
    text = " ".join(map(normal_form, summary.sentences)) if summary else ""
    phrases = [key_phrase.phrase for key_phrase in extraction.key_phrases[:_TOP_PHRASES]]
    return Coverage(
        index=extraction.index,
        heading=summary.heading if summary else "",
        present=[phrase for phrase in phrases if normal_form(phrase) in text],
        missing=[phrase for phrase in phrases if normal_form(phrase) not in text],
        improvable=summary is None or not summary.complete,
    )


def judge(request: ReviewRequest, coverages: list[Coverage]) -> Review:
    """Return the verdict: accepted, or what to do again."""
    total = sum(len(each.present) + len(each.missing) for each in coverages)
    coverage = round(sum(len(each.present) for each in coverages) / total, 4) if total else 1.0
    kept = sum(summary.words for summary in request.summaries)
    ratio = round(kept / request.words, 4) if request.words else 0.0
    enough, short = coverage >= request.min_coverage, ratio <= request.max_ratio or kept <= SHORT_WORDS
    poor = [each for each in coverages if each.share < request.min_coverage]
    notes = [_note(each) for each in poor]
    if not enough:
        notes.insert(
            0, f"The summaries carry {coverage:.0%} of the key phrases; {request.min_coverage:.0%} are asked for."
        )
    if not short:
        notes.insert(0, f"The summaries are {ratio:.0%} of the document; {request.max_ratio:.0%} are allowed.")
    # More sentences raise the coverage and the length, so only what is short enough is worth another round.
    again = [each.index for each in poor if each.improvable] if short and not enough else []
    return Review(accepted=enough and short, coverage=coverage, ratio=ratio, notes=notes, redo=sorted(set(again)))


def _note(coverage: Coverage) -> str:
    where = f"Section {coverage.index + 1}" + (f" ({coverage.heading})" if coverage.heading else "")
    return f"{where} does not mention {', '.join(coverage.missing)}."
