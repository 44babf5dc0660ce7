"""Everything that one run has measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.arena import Drain, median
from benchmarks.contenders import Contender
from benchmarks.endurance import Endurance


@dataclass(slots=True)
class Results:
    """What was measured.

    Attributes:
        drains: By contender and kind of task, each round's.
        submits: By contender, tasks a second that its library submits one by one.
        latencies: By contender, milliseconds at 50 tasks a second, sorted.
        submission: Tasks a second over HTTP, by way.
        endurance: What long queues and many tasks cost.
    """

    endurance: Endurance
    drains: dict[tuple[str, str], list[Drain]] = field(default_factory=dict)
    submits: dict[str, float] = field(default_factory=dict)
    latencies: dict[str, list[float]] = field(default_factory=dict)
    submission: dict[str, float] = field(default_factory=dict)

    def drain(self, contender: Contender, kind: str) -> Drain:
        """Return the median over the rounds."""
        return median(self.drains[contender.name, kind])

    def rate(self, contender: Contender, kind: str) -> float:
        """Return how many tasks a second a contender ends."""
        return self.drain(contender, kind).rate

    def spread(self) -> float:
        """Return the run's noise: how far the rounds of the same measurement lie apart, as a share, on average."""
        shares = []
        for drains in self.drains.values():
            rates = [drain.rate for drain in drains]
            shares.append((max(rates) - min(rates)) / (sum(rates) / len(rates)))
        return sum(shares) / len(shares)

    def best(self, contenders: Iterable[Contender], kind: str) -> Contender:
        """Return who of several ends the most tasks a second."""
        return max(contenders, key=lambda each: self.rate(each, kind))
