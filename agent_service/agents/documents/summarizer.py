"""Shortens a section to its most telling sentences."""

from __future__ import annotations

from agent_service.agents.context import Context
from agent_service.agents.definition import agent
from agent_service.agents.documents.markup import BlockKind, read
from agent_service.agents.documents.models import MAX_SENTENCE_CHARS, SectionSummary, SummaryRequest
from agent_service.agents.documents.prose import normal_form, sentences, words
from agent_service.agents.documents.ranking import rank_sentences


@agent("summarizer", timeout=60, retries=2, version="1", owner="documents")
def summarize(request: SummaryRequest, context: Context) -> SectionSummary:
    """Shortens a section to the sentences of it that carry its key phrases."""
    section = request.section
    count = request.sentences * (request.round + 1)
    context.progress(0.0, f"reading {section.heading or f'section {section.index + 1}'}")
    with context.tool("split-sentences", chars=len(section.text)) as span:
        candidates = quotable_sentences(section.text)
        span.set_attribute("sentences", len(candidates))
    with context.tool("rank-sentences", phrases=len(request.phrases), count=count):
        picked = sorted(rank_sentences(candidates, request.phrases, count))
    chosen = [candidates[at] for at in picked]
    context.log.info(
        "section summarized",
        extra={"section": section.index, "round": request.round, "kept": len(chosen), "of": len(candidates)},
    )
    return SectionSummary(
        index=section.index,
        heading=section.heading,
        sentences=chosen,
        words=sum(len(words(sentence)) for sentence in chosen),
        complete=len(chosen) == len(candidates),
    )


def quotable_sentences(source: str) -> list[str]:
    """Return the sentences of some Markdown, each once: those of its paragraphs, else those of its tables."""
    blocks = read(source).blocks
    for kind in (BlockKind.PARAGRAPH, BlockKind.CELL):
        found = {
            normal_form(sentence): sentence
            for block in reversed(blocks)
            if block.kind is kind
            for sentence in reversed(sentences(block.text))
            if words(sentence) and len(sentence) <= MAX_SENTENCE_CHARS
        }
        if found:
            return list(found.values())[::-1]
    return []
