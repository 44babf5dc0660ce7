"""The document report: the document team as one graph.

plan → extract (a task a section) → summarize (a task a section) → review ─┬→ write
                                        ▲                                  │
                                        └── sections to do again ──────────┘
"""

from __future__ import annotations

from typing import Any

from agent_service.agents.documents.models import Document
from agent_service.workflows.definition import Loop, OnFailure, Payload, Results, Step, Workflow

REVIEWS_LIMIT = 3
MIN_COVERAGE = 0.85
"""Share of the top key phrases that the summaries must carry; a first round reaches about 0.7 on real documents."""


def _sections(results: Results) -> list[dict[str, Any]]:
    sections: list[dict[str, Any]] = results.one("plan")["sections"]
    return sections


def _extractions(results: Results) -> list[Payload]:
    language = results.one("plan")["language"]
    return [{"section": section, "language": language} for section in _sections(results)]


def _summaries_to_make(results: Results) -> list[Payload]:
    """All sections at first, later those that the review sent back, each with one round more."""
    earlier = len(results.rounds["summarize"])
    wanted = set(results.one("review")["redo"]) if earlier else {section["index"] for section in _sections(results)}
    phrases = {
        extraction["index"]: [phrase["phrase"] for phrase in extraction["key_phrases"]]
        for extraction in results.all("extract")
    }
    return [
        {"section": section, "phrases": phrases.get(section["index"], []), "round": earlier}
        for section in _sections(results)
        if section["index"] in wanted
    ]


def _newest_summaries(results: Results) -> list[dict[str, Any]]:
    newest = {summary["index"]: summary for summary in results.every("summarize")}
    return [newest[index] for index in sorted(newest)]


def _review(results: Results) -> Payload:
    return {
        "words": results.one("plan")["words"],
        "summaries": _newest_summaries(results),
        "extractions": results.all("extract"),
        "min_coverage": MIN_COVERAGE,
    }


def _report(results: Results) -> Payload:
    return {
        "title": results.input["title"],
        "plan": results.one("plan"),
        "extractions": results.all("extract"),
        "summaries": _newest_summaries(results),
        "review": results.one("review"),
    }


document_report = Workflow(
    name="document-report",
    description="Turns a document into one short, checked report.",
    input_model=Document,
    steps=(
        Step("plan", "planner", lambda results: results.input),
        # A section that cannot be read costs its own part of the report, not the whole.
        Step("extract", "extractor", _extractions, after=("plan",), on_failure=OnFailure.CONTINUE),
        Step("summarize", "summarizer", _summaries_to_make, after=("extract",), on_failure=OnFailure.CONTINUE),
        Step("review", "critic", _review, after=("summarize",)),
        Step("write", "writer", _report, after=("review",)),
    ),
    result="write",
    loops=(Loop("review", "summarize", lambda results: bool(results.one("review")["redo"]), REVIEWS_LIMIT),),
)
