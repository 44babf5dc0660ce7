"""Finds what a section is about and what it mentions."""

from __future__ import annotations

from agent_service.agents.context import Context
from agent_service.agents.definition import agent
from agent_service.agents.documents.dates import find_dates
from agent_service.agents.documents.language import detect_language
from agent_service.agents.documents.markup import BlockKind, read
from agent_service.agents.documents.models import Extraction, SectionInput
from agent_service.agents.documents.names import find_names
from agent_service.agents.documents.phrases import key_phrases
from agent_service.agents.documents.prose import sentences


@agent("extractor", timeout=60, retries=2, version="1", owner="documents")
def extract(request: SectionInput, context: Context) -> Extraction:
    """Finds the key phrases, names, dates and links of a section."""
    section = request.section
    context.progress(0.0, f"reading {section.heading or f'section {section.index + 1}'}")
    with context.tool("find-links", chars=len(section.text)) as span:
        reading = read(section.text)
        span.set_attribute("links", len(reading.links))
    everything = " ".join((section.heading, *(block.text for block in reading.blocks)))
    # A heading capitalizes too much to tell what is a name, and a summary never quotes one.
    running = [block.text for block in reading.blocks if block.kind is not BlockKind.HEADING]
    spoken = [sentence for paragraph in running for sentence in sentences(paragraph)]
    language = request.language or detect_language(everything)
    with context.tool("find-dates") as span:
        dates = find_dates(everything)
        span.set_attribute("dates", len(dates))
    with context.tool("find-names") as span:
        names = find_names(spoken, language=language)
        span.set_attribute("names", len(names))
    context.progress(0.4, "looking for key phrases")
    with context.tool("extract-key-phrases", sentences=len(spoken)) as span:
        phrases = key_phrases(spoken, language=language, limit=request.max_phrases)
        span.set_attribute("phrases", len(phrases))
    context.log.info(
        "section extracted",
        extra={"section": section.index, "phrases": len(phrases), "names": len(names), "language": language},
    )
    return Extraction(index=section.index, key_phrases=phrases, names=names, dates=dates, links=reading.links)
