"""Makes spans."""

from __future__ import annotations

from typing import Any

from agent_service.tasks.models import SpanRecord


def span(span_id: str, parent: str | None = None, start: float = 0, end: float = 1, **fields: Any) -> SpanRecord:
    """A span whose name is its id, unless told otherwise."""
    return SpanRecord(
        **{
            "trace_id": "t",
            "span_id": span_id,
            "parent_id": parent,
            "name": span_id,
            "service": "agent-worker",
            "kind": "internal",
            "start": start,
            "end": end,
            "status": "unset",
            **fields,
        }
    )
