"""Puts the spans of a trace in order: the tree that they form, which of them tell the most, where tools took time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent_service.tasks.models import SpanRecord
from agent_service.telemetry.contract import Attribute, Operation


@dataclass(frozen=True, slots=True)
class Row:
    """A span and how deep it hangs in the tree.

    Attributes:
        is_linked: Whether it is linked to an earlier span of the trace, as a retry is.
    """

    depth: int
    span: SpanRecord
    is_linked: bool


def arrange(spans: Sequence[SpanRecord]) -> list[Row]:
    """Return the spans as a tree, depth first, by start; a span whose parent is not here hangs at the root."""
    ids = {span.span_id for span in spans}
    children: dict[str | None, list[SpanRecord]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        children[span.parent_id if span.parent_id in ids else None].append(span)

    def walk(parent: str | None, depth: int) -> Iterator[Row]:
        for span in children.pop(parent, ()):
            yield Row(depth, span, is_linked=any(link in ids for link in span.links))
            yield from walk(span.span_id, depth + 1)

    return list(walk(None, 0))


def most_telling(spans: Sequence[SpanRecord], count: int) -> list[SpanRecord]:
    """Return the `count` longest spans with everything that they hang on, so that the tree stays one."""
    by_id = {span.span_id: span for span in spans}
    kept: dict[str, SpanRecord] = {}
    for span in sorted(spans, key=lambda span: span.start - span.end)[:count]:
        ancestor: SpanRecord | None = span
        while ancestor and ancestor.span_id not in kept:
            kept[ancestor.span_id] = ancestor
            ancestor = by_id.get(ancestor.parent_id or "")
    return list(kept.values())


def of_task(spans: Sequence[SpanRecord], task_id: str) -> list[SpanRecord]:
    """Return the spans of one task of a trace: its own, what they hang on, and what hangs on them."""
    by_id = {span.span_id: span for span in spans}
    own = [span for span in spans if span.attributes.get(Attribute.TASK_ID) == task_id]
    kept = {span.span_id for span in (*own, *_below(spans, own))}
    for span in own:
        parent = by_id.get(span.parent_id or "")
        while parent and parent.span_id not in kept:
            kept.add(parent.span_id)
            parent = by_id.get(parent.parent_id or "")
    return [span for span in spans if span.span_id in kept]


def tool_seconds(spans: Iterable[SpanRecord], task_id: str) -> float:
    """Return for how long a task was in its tools, in seconds; tools at the same time count once."""
    spans = list(spans)
    inside = _below(spans, [span for span in spans if _is_run_of(span, task_id)])
    stretches = sorted((span.start, span.end) for span in inside if _is_tool(span))
    total, reached = 0.0, float("-inf")
    for start, end in stretches:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _below(spans: Iterable[SpanRecord], tops: Iterable[SpanRecord]) -> list[SpanRecord]:
    """Return what hangs below some spans."""
    children: dict[str | None, list[SpanRecord]] = defaultdict(list)
    for span in spans:
        children[span.parent_id].append(span)
    below: list[SpanRecord] = []
    pending = list(tops)
    while pending:
        found = children.pop(pending.pop().span_id, [])
        below += found
        pending += found
    return below


def _is_run_of(span: SpanRecord, task_id: str) -> bool:
    operation, task = span.attributes.get(Attribute.OPERATION_NAME), span.attributes.get(Attribute.TASK_ID)
    return operation == Operation.INVOKE_AGENT and task == task_id


def _is_tool(span: SpanRecord) -> bool:
    return span.attributes.get(Attribute.OPERATION_NAME) == Operation.EXECUTE_TOOL
