"""What the document agents hand to each other, and what each takes when it is used alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_DOCUMENT_CHARS = 2_000_000
MAX_SECTION_CHARS = 250_000
MAX_SECTIONS = 40
MAX_HEADING_CHARS = 200
MAX_TITLE_CHARS = 300
MAX_PHRASE_CHARS = 200
MAX_PHRASES = 50
MAX_NAMES = 50
MAX_DATES = 100
MAX_LINKS = 200
MAX_URL_CHARS = 2_000
MAX_SENTENCE_CHARS = 1_000
MAX_SENTENCES = 10
MAX_ROUND = 10
SHORT_WORDS = 100

Phrase = Annotated[str, Field(min_length=1, max_length=MAX_PHRASE_CHARS)]
Sentence = Annotated[str, Field(min_length=1, max_length=MAX_SENTENCE_CHARS)]
SectionIndex = Annotated[int, Field(ge=0, lt=MAX_SECTIONS)]
Share = Annotated[float, Field(ge=0, le=1)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]


class DocumentModel(BaseModel):
    """Base of the team's models: a misspelled field is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Document(DocumentModel):
    """A text to work on."""

    title: str = Field(
        default="", max_length=MAX_TITLE_CHARS, description="Its title; taken from the text when left out."
    )
    text: str = Field(
        min_length=1,
        max_length=MAX_DOCUMENT_CHARS,
        description="Markdown or plain text.",
        examples=["# Release notes\n\nThe queue survives a restart since version 2.1, released on 12 March 2026."],
    )


class Section(DocumentModel):
    """One part of a document."""

    index: SectionIndex = Field(default=0, description="Its place in the document, from 0.")
    heading: str = Field(default="", max_length=MAX_HEADING_CHARS, description="Its heading as plain text, if any.")
    level: int = Field(default=0, ge=0, le=6, description="Depth of the heading, 1 to 6; 0 without one.")
    text: str = Field(
        default="",
        max_length=MAX_SECTION_CHARS,
        description="Its Markdown or plain text without code blocks; headings of merged sections included.",
    )
    words: int = Field(default=0, ge=0, description="Words of prose in the text.")


class Plan(DocumentModel):
    """A document, taken apart into sections of a size that one agent can work on."""

    title: str = Field(default="", max_length=MAX_TITLE_CHARS, description="The document's title.")
    language: Language | None = Field(
        default=None, description="ISO 639-1 code of the prose; null where its function words do not tell."
    )
    sections: list[Section] = Field(min_length=1, max_length=MAX_SECTIONS, description="The parts, in order.")
    words: int = Field(default=0, ge=0, description="Words of prose in all sections.")
    code_blocks: int = Field(default=0, ge=0, description="Code blocks that were left out of the sections.")


class SectionInput(DocumentModel):
    """A section to search for what it is about."""

    section: Section
    max_phrases: int = Field(default=12, ge=1, le=MAX_PHRASES, description="Most key phrases to return.")
    language: Language | None = Field(
        default=None, description="ISO 639-1 code of the text; detected from the section when left out."
    )


class KeyPhrase(DocumentModel):
    """A phrase that is characteristic of a section."""

    phrase: Phrase = Field(description="One to three words as they stand in the text.")
    score: float = Field(default=0, ge=0, description="YAKE's score: the lower, the more characteristic.")


class Date(DocumentModel):
    """A point in time that a text mentions."""

    text: str = Field(max_length=100, description="The words of the text.")
    iso: str = Field(max_length=40, description="ISO 8601, as precise as the text: a month, a day or a time.")


class Link(DocumentModel):
    """Something that a text points to."""

    text: str = Field(default="", max_length=MAX_TITLE_CHARS, description="The words that carry the link, if any.")
    url: str = Field(min_length=1, max_length=MAX_URL_CHARS, description="Where it leads; may be relative.")


class Extraction(DocumentModel):
    """What a section is about and what it mentions."""

    index: SectionIndex = Field(default=0, description="The section's index.")
    key_phrases: list[KeyPhrase] = Field(
        default_factory=list, max_length=MAX_PHRASES, description="Key phrases, the most characteristic first."
    )
    names: list[Phrase] = Field(
        default_factory=list, max_length=MAX_NAMES, description="Named things, the most frequent first."
    )
    dates: list[Date] = Field(default_factory=list, max_length=MAX_DATES, description="Dates, in the text's order.")
    links: list[Link] = Field(default_factory=list, max_length=MAX_LINKS, description="Links, in the text's order.")


class SummaryRequest(DocumentModel):
    """A section to shorten to its most telling sentences."""

    section: Section
    phrases: list[Phrase] = Field(
        default_factory=list,
        max_length=MAX_PHRASES,
        description="Phrases that the summary should carry, the most important first.",
    )
    sentences: int = Field(default=2, ge=1, le=MAX_SENTENCES, description="Most sentences in the first round.")
    round: int = Field(
        default=0, ge=0, le=MAX_ROUND, description="How often a review sent it back; each round adds `sentences` more."
    )


class SectionSummary(DocumentModel):
    """A section in a few of its own sentences."""

    index: SectionIndex = Field(default=0, description="The section's index.")
    heading: str = Field(default="", max_length=MAX_HEADING_CHARS, description="The section's heading.")
    sentences: list[Sentence] = Field(
        default_factory=list,
        max_length=MAX_SENTENCES * (MAX_ROUND + 1),
        description="Sentences of the section as plain text, in its order.",
    )
    words: int = Field(default=0, ge=0, description="Words in the sentences.")
    complete: bool = Field(
        default=False, description="Whether no sentence of the section is left, so another round cannot add one."
    )


class ReviewRequest(DocumentModel):
    """Summaries to hold against what their sections are about."""

    words: int = Field(
        default=0, ge=0, description="Words in the whole document (a plan's `words`); 0 leaves the length unchecked."
    )
    summaries: list[SectionSummary] = Field(
        default_factory=list, max_length=MAX_SECTIONS, description="The newest summary of each section."
    )
    extractions: list[Extraction] = Field(
        default_factory=list, max_length=MAX_SECTIONS, description="What each section is about."
    )
    min_coverage: Share = Field(default=0.5, description="Least share of the top key phrases that must be present.")
    max_ratio: Share = Field(
        default=0.6,
        description="Longest the summaries may be, as a share of the document; "
        f"{SHORT_WORDS} words in all are never too long.",
    )


class Review(DocumentModel):
    """Whether a set of summaries says enough in little enough."""

    accepted: bool = Field(description="Whether coverage and length are both within their bounds.")
    coverage: Share = Field(description="Share of the sections' top key phrases that their summaries carry.")
    ratio: float = Field(ge=0, description="Words of the summaries over words of the document; 0 when unknown.")
    notes: list[str] = Field(default_factory=list, max_length=MAX_SECTIONS + 2, description="Reasons, for a person.")
    redo: list[SectionIndex] = Field(
        default_factory=list,
        max_length=MAX_SECTIONS,
        description="Sections to summarize again with a higher round; empty when accepted or when that cannot help.",
    )


class ReportRequest(DocumentModel):
    """Everything the team found out about a document."""

    title: str = Field(default="", max_length=MAX_TITLE_CHARS, description="Title; the plan's when left out.")
    plan: Plan
    extractions: list[Extraction] = Field(
        default_factory=list, max_length=MAX_SECTIONS, description="What each section is about."
    )
    summaries: list[SectionSummary] = Field(
        default_factory=list, max_length=MAX_SECTIONS, description="The newest summary of each section."
    )
    review: Review | None = Field(default=None, description="The verdict on the summaries, if there was one.")


class Report(DocumentModel):
    """A document's report."""

    title: str = Field(max_length=MAX_TITLE_CHARS, description="The report's title.")
    markdown: str = Field(description="The report, in CommonMark.")
    words: int = Field(ge=0, description="Words in the report.")
    sections: int = Field(ge=0, description="Sections of the document that have a summary in it.")
