"""Draws the spans of a trace as a tree beside bars on one time scale."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent_service.cli.drawing import seconds_text
from agent_service.tasks.models import SpanRecord

SERVICE_STYLES = ("cyan", "green", "magenta", "blue")
ERROR_STYLE = "red"
ERROR = "error"
LEAST_BAR = 12
LINKED = "linked"
"""Stands at a span that is linked to an earlier one of the trace, as a retry is."""


@dataclass(frozen=True, slots=True)
class Row:
    """A span and how deep it hangs in the tree."""

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


def is_whole(spans: Sequence[SpanRecord]) -> bool:
    """Return whether no span waits for its parent."""
    ids = {span.span_id for span in spans}
    return all(span.parent_id is None or span.parent_id in ids for span in spans)


def waterfall(spans: Sequence[SpanRecord], console: Console) -> Table:
    """Return the picture of a trace, as wide as the console."""
    rows = arrange(spans)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", width=console.width)
    begin = min((span.start for span in spans), default=0.0)
    whole = max((span.end for span in spans), default=0.0) - begin
    labels = [f"{'  ' * row.depth}{row.span.name}{f' ({LINKED})' if row.is_linked else ''}" for row in rows]
    services = sorted({span.service for span in spans})
    name_width = min(max(map(len, labels), default=4), console.width // 2)
    service_width = max(map(len, services), default=7)
    bar_width = max(LEAST_BAR, console.width - name_width - service_width - len("duration") - len("status") - 6)
    table.add_column("span", width=name_width, no_wrap=True, overflow="ellipsis")
    table.add_column("service", width=service_width, no_wrap=True)
    table.add_column(f"0 to {seconds_text(whole)}", width=bar_width, no_wrap=True)
    table.add_column("duration", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    fill = "#" if console.options.ascii_only else "━"
    for label, row in zip(labels, rows, strict=True):
        failed = row.span.status == ERROR
        style = ERROR_STYLE if failed else SERVICE_STYLES[services.index(row.span.service) % len(SERVICE_STYLES)]
        left, length = bar(row.span.start - begin, row.span.end - begin, whole, bar_width)
        table.add_row(
            Text(label, style=ERROR_STYLE if failed else ""),
            row.span.service,
            Text(" " * left + fill * length, style=style),
            seconds_text(row.span.end - row.span.start),
            Text("error" if failed else "ok", style=ERROR_STYLE if failed else ""),
        )
    return table


def bar(start: float, end: float, whole: float, width: int) -> tuple[int, int]:
    """Return where a bar starts and how long it is, in characters; at least one, and never past the edge.

    Args:
        start: Seconds from the beginning of the trace.
        end: Likewise.
        whole: How long the trace is, in seconds.
        width: How many characters stand for that.
    """
    if whole <= 0:
        return 0, width
    left = min(int(min(start / whole, 1.0) * width), width - 1)
    right = round(min(end / whole, 1.0) * width)
    return left, max(1, right - left)
