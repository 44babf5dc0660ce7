"""The picture of a trace: every span a bar on one time scale, in numbers that an SVG takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent_service.tasks.models import SpanRecord
from agent_service.tasks.spans import arrange, most_telling

SPANS_SHOWN: Final = 120
WIDTH: Final = 1000.0
"""The whole trace, in the units of the picture."""
LEAST_BAR: Final = 3.0
DEEPEST: Final = 12


@dataclass(frozen=True, slots=True)
class Bar:
    """One span.

    Attributes:
        depth: How far its name is moved in.
        left: Where it starts, from 0 to `WIDTH`.
        length: How long it is, in the same units.
        seconds: How long it took.
        start: Seconds after the trace's beginning.
    """

    span: SpanRecord
    depth: int
    is_linked: bool
    left: float
    length: float
    seconds: float
    start: float

    @property
    def failed(self) -> bool:
        """Whether the span ended in an error."""
        return self.span.status == "error"


@dataclass(frozen=True, slots=True)
class Waterfall:
    """A trace.

    Attributes:
        seconds: How long all of it took.
        hidden: Spans that are not shown, since they are the shortest of very many.
    """

    bars: list[Bar]
    seconds: float
    hidden: int


def waterfall(spans: Sequence[SpanRecord]) -> Waterfall:
    """Return the picture of a trace; of very many spans the ones that tell the most."""
    shown = most_telling(spans, SPANS_SHOWN) if len(spans) > SPANS_SHOWN else list(spans)
    begin = min((span.start for span in shown), default=0.0)
    whole = max((span.end for span in shown), default=0.0) - begin
    bars = [_bar(row.span, row.depth, row.is_linked, begin, whole) for row in arrange(shown)]
    return Waterfall(bars, whole, len(spans) - len(shown))


def _bar(span: SpanRecord, depth: int, is_linked: bool, begin: float, whole: float) -> Bar:
    scale = WIDTH / whole if whole > 0 else 0.0
    left = min((span.start - begin) * scale, WIDTH - LEAST_BAR)
    length = min(max(LEAST_BAR, (span.end - span.start) * scale), WIDTH - left) if scale else WIDTH
    return Bar(
        span=span,
        depth=min(depth, DEEPEST),
        is_linked=is_linked,
        left=round(left, 1),
        length=round(length, 1),
        seconds=span.end - span.start,
        start=span.start - begin,
    )
