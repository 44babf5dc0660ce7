"""Draws the spans of a trace as a tree beside bars on one time scale."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent_service.cli.drawing import seconds_text
from agent_service.tasks.models import SpanRecord
from agent_service.tasks.spans import arrange

SERVICE_STYLES = ("cyan", "green", "magenta", "blue")
ERROR_STYLE = "red"
ERROR = "error"
LEAST_BAR = 12
LINKED = "linked"
"""Stands at a span that is linked to an earlier one of the trace, as a retry is."""


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
