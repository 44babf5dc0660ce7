"""Every fault that can be caused on demand, and the alert that has to find it.

Times are those of the rules as they stand; `scaled` gives those for rules that run faster (`python -m stack
scaled-rules`). A test holds the alerts, their `for` and their runbooks to the files of the stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from agent_service.cli.errors import CommandError

SHORTEST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 1800.0
"""No fault lasts longer, whatever is asked for."""
SMALLEST_FACTOR: Final = 0.01
LONGEST_RUN: Final = timedelta(seconds=600)
"""The longest `seconds` that a fault agent takes."""
PERSON: Final = timedelta(seconds=30)
"""What it takes to tell who is on call: two scrapes, and the time for which Alertmanager waits for more."""
TEAM: Final = timedelta(seconds=50)
"""Likewise for a warning, which is collected for longer."""
BAD_USAGE: Final = 2


@dataclass(frozen=True, slots=True)
class Load:
    """Tasks that are given to a fault agent, again and again.

    Attributes:
        agent: Its name.
        payload: Its input, without `seconds`.
        every: From one task to the next.
        runs: `seconds` of the input; None where the agent takes none.
        till_end: Whether a run lasts as long as the fault instead, up to `LONGEST_RUN`.
        first: Tasks that are submitted at once in the beginning.
        most: Tasks in all.
    """

    agent: str
    payload: Mapping[str, Any]
    every: timedelta
    runs: timedelta | None = None
    first: int = 1
    most: int = 10_000
    till_end: bool = False

    def input(self, lasts: timedelta) -> dict[str, Any]:
        """Return the whole input of a task of a fault that lasts so long."""
        runs = min(lasts, LONGEST_RUN) if self.till_end else self.runs
        return dict(self.payload) | ({"seconds": runs.total_seconds()} if runs else {})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        name: What a user types.
        does: What happens, in one sentence.
        alert: The alert that it is to fire; its runbook is named alike.
        severity: The severity of that alert.
        builds: From the start of the fault until the alert's condition is true.
        holds: The rule's `for`.
        lasts: How long the fault lasts unless the user says otherwise.
        told: From the moment in which it fires until it is delivered.
        ends: From the end of the fault until the alert ends: the longest window of its rule.
        also: Alerts that may fire as well.
        load: The tasks that it consists of, or
        part: the part of the system that it takes away.
    """

    name: str
    does: str
    alert: str
    severity: str
    builds: timedelta
    holds: timedelta
    lasts: timedelta
    ends: timedelta
    told: timedelta = PERSON
    also: tuple[str, ...] = ()
    load: Load | None = None
    part: str | None = None

    @property
    def delay(self) -> timedelta:
        """From the start of the fault until somebody hears of it."""
        return self.builds + self.holds + self.told

    def scaled(self, factor: float) -> Fault:
        """Return the fault for rules whose times are multiplied by `factor`."""
        if factor == 1:
            return self
        load = self.load and replace(
            self.load, every=self.load.every * factor, runs=self.load.runs and self.load.runs * factor
        )
        times = {name: getattr(self, name) * factor for name in ("builds", "holds", "told", "lasts", "ends")}
        return replace(self, load=load, **times)


def _seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def _minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


_ALL: Final = (
    Fault(
        name="slow",
        does="runs of fault-sleep take 75 s, a new one every 10 s",
        alert="AgentSlow",
        severity="warning",
        told=TEAM,
        builds=_seconds(100),
        holds=_minutes(10),
        lasts=_minutes(15),
        ends=_minutes(5),
        load=Load("fault-sleep", {}, every=_seconds(10), runs=_seconds(75)),
    ),
    Fault(
        name="failures",
        does="every task of fault-fail fails, one every 12 s",
        alert="AgentFailureRatioHigh",
        severity="critical",
        builds=_seconds(50),
        holds=_minutes(2),
        lasts=_minutes(8),
        ends=_minutes(10),
        also=("AgentFailuresMany", "QueueDeadLettersGrowing", "TaskSuccessBudgetBurn"),
        load=Load("fault-fail", {"message": "a fault on demand"}, every=_seconds(12)),
    ),
    Fault(
        name="queue",
        does="1200 tasks of fault-sleep wait in the queue, and more come than are done",
        alert="QueueGrowing",
        severity="warning",
        told=TEAM,
        builds=_seconds(40),
        holds=_minutes(5),
        lasts=_minutes(8),
        ends=_minutes(0),
        also=("QueueDrainSlow", "QueueOldestTaskWaiting", "TaskStartBudgetBurn", "WorkersAllBusy"),
        load=Load("fault-sleep", {}, every=_seconds(1), runs=_seconds(60), first=1_200, most=4_000),
    ),
    Fault(
        name="cpu",
        does="fault-burn-cpu keeps the processor of one worker busy; that worker takes nothing else",
        alert="AgentCpuHigh",
        severity="warning",
        told=TEAM,
        builds=_seconds(120),
        holds=_minutes(5),
        lasts=_seconds(580),
        ends=_minutes(2),
        also=("AgentTaskRunningLong", "HostCpuHigh"),
        load=Load("fault-burn-cpu", {}, every=_seconds(600), most=1, till_end=True),
    ),
    Fault(
        name="memory",
        does="runs of fault-hold-memory make the process of a worker grow by 140 MiB, one every minute",
        alert="AgentMemoryHigh",
        severity="warning",
        told=TEAM,
        builds=_seconds(30),
        holds=_minutes(1),
        lasts=_minutes(5),
        ends=_minutes(10),
        also=("WorkerMemoryHigh",),
        load=Load("fault-hold-memory", {"megabytes": 140}, every=_minutes(1), runs=_seconds(10)),
    ),
    Fault(
        name="crash",
        does="8 tasks of fault-crash kill their process, one every 15 s; what runs in the same process is tried again",
        alert="AgentCrashing",
        severity="critical",
        builds=_seconds(65),
        holds=_minutes(0),
        lasts=_minutes(5),
        ends=_minutes(10),
        also=("AgentFailureRatioHigh", "LogTaskLost", "TaskSuccessBudgetBurn"),
        load=Load("fault-crash", {}, every=_seconds(15), most=8),
    ),
    Fault(
        name="log-pattern",
        does="fault-log writes a line of level critical every 20 s",
        alert="LogCritical",
        severity="critical",
        builds=_seconds(10),
        holds=_minutes(0),
        lasts=_minutes(8),
        ends=_minutes(5),
        load=Load("fault-log", {"level": "CRITICAL", "message": "a fault on demand"}, every=_seconds(20)),
    ),
    Fault(
        name="worker-down",
        does="no worker runs",
        alert="NoWorkerAlive",
        severity="critical",
        builds=_seconds(40),
        holds=_minutes(2),
        lasts=_minutes(10),
        ends=_minutes(0),
        also=("QueueWithoutWorkers", "WorkerNotReporting"),
        part="worker",
    ),
    Fault(
        name="valkey-down",
        does="Valkey does not answer: nothing is submitted, nothing runs, and no incident can be kept until it is back",
        alert="ValkeyDown",
        severity="critical",
        builds=_seconds(10),
        holds=_minutes(1),
        lasts=_minutes(3),
        ends=_minutes(0),
        also=("AlertmanagerNotificationsFailing", "ApiErrorRatioHigh"),
        part="valkey",
    ),
)

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType({fault.name: fault for fault in _ALL})
"""The faults by name."""


def find(name: str) -> Fault:
    """Return a fault.

    Raises:
        CommandError: There is none of that name.
    """
    try:
        return FAULTS[name]
    except KeyError:
        raise CommandError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}", BAD_USAGE) from None


def check_seconds(seconds: float) -> timedelta:
    """Return how long a fault is to last.

    Raises:
        CommandError: It is too short or too long.
    """
    if SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        return timedelta(seconds=seconds)
    raise CommandError(f"a fault lasts {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g} seconds, not {seconds:g}", BAD_USAGE)


def check_factor(factor: float) -> float:
    """Return the factor by which times are multiplied.

    Raises:
        CommandError: It is not between the smallest one and 1.
    """
    if SMALLEST_FACTOR <= factor <= 1:
        return factor
    raise CommandError(f"the factor is between {SMALLEST_FACTOR:g} and 1, not {factor:g}", BAD_USAGE)
