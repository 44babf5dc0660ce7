"""What the service promises about its speed, each as a ratio of two figures of the same run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.arena import percentile
from benchmarks.contenders import OURS, OURS_BARE, PEERS, RQ, TRACED_PEERS, WATCHED_PEERS, Contender
from benchmarks.endurance import LONG
from benchmarks.results import Results

WORDS = {"noop": "no-op", "cpu": "5 ms of computing", "wait": "20 ms of waiting"}


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise and what was measured.

    Attributes:
        what: What is compared.
        wanted: What it should be.
        found: What it is.
        at_least: Whether more is better.
        unit: Of both figures.
        by_cpu: The same ratio by processor time a task, of workers and Valkey together, which other load on the
            machine moves far less.
    """

    what: str
    wanted: float
    found: float
    at_least: bool = True
    unit: str = "x"
    by_cpu: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the promise is kept."""
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted

    def row(self) -> tuple[str, str, str, str, str]:
        """Return what, wanted, found, found by processor time, and the verdict, for a table."""
        sign = "≥" if self.at_least else "≤"
        found = f"{self.found:.2f} {self.unit}"
        by_cpu = "" if self.by_cpu is None else f"{self.by_cpu:.2f} x"
        return self.what, f"{sign} {self.wanted:g} {self.unit}", found, by_cpu, "met" if self.is_met else "not met"


def goals(results: Results) -> Iterator[Goal]:
    """Yield every goal."""
    yield from _bare(results)
    yield from _watched(results)
    yield from _latency(results)
    yield from _submission(results)
    yield from _endurance(results)


def _bare(results: Results) -> Iterator[Goal]:
    yield _over(results, "bare, no-op, over stock rq", 30, OURS_BARE, RQ, "noop")
    for kind, wanted in (("noop", 1.0), ("wait", 2.0), ("cpu", 1.0)):
        peer = results.best(PEERS, kind)
        what = f"bare, {WORDS[kind]}, over the best bare peer ({peer.name})"
        yield _over(results, what, wanted, OURS_BARE, peer, kind)


def _watched(results: Results) -> Iterator[Goal]:
    traced = [peer for peer in WATCHED_PEERS if peer.name in TRACED_PEERS]
    for kind in ("noop", "wait", "cpu"):
        peer = results.best(traced, kind)
        what = f"watched, {WORDS[kind]}, over the best traced peer ({peer.name})"
        yield _over(results, what, 1.5, OURS, peer, kind)
    yield _over(results, "watched, no-op, over stock rq without telemetry", 15, OURS, RQ, "noop")


def _over(results: Results, what: str, wanted: float, ours: Contender, other: Contender, kind: str) -> Goal:
    """Return the goal that one contender ends so many times as many tasks a second as another."""
    rate = results.rate(ours, kind) / results.rate(other, kind)
    return Goal(what, wanted, rate, by_cpu=results.drain(other, kind).cost / results.drain(ours, kind).cost)


def _latency(results: Results) -> Iterator[Goal]:
    best = min(percentile(results.latencies[peer.name], 0.99) for peer in PEERS)
    ours = percentile(results.latencies[OURS.name], 0.99)
    yield Goal("watched, p99 at 50 tasks/s, beyond the best bare peer's", 3, ours - best, at_least=False, unit="ms")


def _submission(results: Results) -> Iterator[Goal]:
    rates = results.submission
    yield Goal("POST /tasks watched, over FastAPI and RQ without telemetry", 1.5, rates["watched"] / rates["plain"])
    yield Goal("batches, over one by one", 10, rates["watched, batches"] / rates["watched, one by one"])


def _endurance(results: Results) -> Iterator[Goal]:
    seen = results.endurance
    yield Goal(f"a task's cost at {LONG} queued, over that at few", 1.2, seen.cost_ratio, at_least=False)
    growth = max(0.0, seen.growth * 100)
    yield Goal(f"growth of the workers' memory over {seen.tasks} tasks", 5, growth, at_least=False, unit="%")
