"""What the supervisor counts: it outlives its children, so no count dies with one of them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agent_service.telemetry import contract
from agent_service.telemetry.contract import IoDirection, Outcome
from agent_service.telemetry.metrics import Metrics, Sample
from agent_service.telemetry.resources import ProcessTree
from agent_service.worker.protocol import Counted, Ended, Started

_BY_NAME = {metric.name: metric for metric in contract.METRICS}


@dataclass(slots=True)
class RunningTask:
    """A task that the child runs, as the supervisor knows it.

    Attributes:
        kill_at: When the child is killed if the task is still there, on the clock of `time.time`.
        stop_requested: Whether somebody asked to stop it.
    """

    told: Started
    kill_at: float
    stop_requested: bool = False

    @property
    def trace_id(self) -> str:
        """The trace of the task."""
        return self.told.traceparent.split("-")[1] if self.told.traceparent else ""


class Measures:
    """The worker's metrics, from what the child tells."""

    def __init__(self, metrics: Metrics, queue: str, processes: ProcessTree, catch_up: Callable[[], None]) -> None:
        """Prepare.

        Args:
            metrics: Where they are shown.
            queue: The worker's queue.
            processes: The worker's processes.
            catch_up: Called at a scrape, first of all, to count what the child has said by then.
        """
        self._catch_up = catch_up
        self._metrics = metrics
        self._queue = queue
        self._processes = processes
        self._running: dict[str, Started] = {}
        self._lock = threading.Lock()
        metrics.add_collector(self._samples)

    def started(self, task: RunningTask) -> None:
        """Count a task that started."""
        told = task.told
        with self._lock:
            self._running[told.execution_id] = told
        self._metrics.observe(
            contract.TASK_WAIT, told.waited, trace_id=task.trace_id, agent=told.agent, queue=self._queue
        )

    def forget(self, task: RunningTask) -> None:
        """Stop showing a task as running."""
        with self._lock:
            self._running.pop(task.told.execution_id, None)

    def ended(self, task: RunningTask, ended: Ended) -> None:
        """Count a task whose end the child has written down."""
        agent = task.told.agent
        self._metrics.count(contract.AGENT_CPU, ended.cpu_seconds, agent=agent)
        self._metrics.count(contract.AGENT_IO, ended.read_bytes, agent=agent, direction=IoDirection.READ.value)
        self._metrics.count(contract.AGENT_IO, ended.write_bytes, agent=agent, direction=IoDirection.WRITE.value)
        self._metrics.set(contract.AGENT_MEMORY, ended.peak_memory_bytes, agent=agent)
        self.settled(task, Outcome(ended.outcome), ended.seconds, ended.ended_at, ended.error_type)

    def settled(
        self, task: RunningTask, outcome: Outcome, seconds: float, ended_at: float, error_type: str | None
    ) -> None:
        """Count the end of a run.

        Args:
            task: The task.
            outcome: How it ended.
            seconds: How long it ran.
            ended_at: Unix time in seconds.
            error_type: What ended it, if not its agent's return.
        """
        self.forget(task)
        told, trace_id = task.told, task.trace_id
        labels = {"agent": told.agent, "outcome": outcome.value}
        self._metrics.count(contract.TASKS, 1, queue=self._queue, **labels)
        self._metrics.observe(contract.TASK_DURATION, seconds, trace_id=trace_id, **labels)
        if outcome is not Outcome.RETRY:
            end_to_end = max(0.0, ended_at - told.submitted_at)
            self._metrics.observe(contract.TASK_END_TO_END, end_to_end, trace_id=trace_id, **labels)
        if error_type:
            self._metrics.count(contract.ERRORS, agent=told.agent, error_type=error_type)

    def counted(self, counted: Counted) -> None:
        """Count what happened in the child."""
        self._metrics.count(_BY_NAME[counted.metric], counted.amount, **counted.labels)

    def abandoned(self, agent: str, outcome: Outcome) -> None:
        """Count a task whose worker died as a whole, as the one that found it."""
        self._metrics.count(contract.TASKS, agent=agent, queue=self._queue, outcome=outcome.value)
        self._metrics.count(contract.ERRORS, agent=agent, error_type="WorkerDied")

    def _samples(self) -> Iterator[Sample]:
        self._catch_up()
        yield Sample(contract.WORKER_CPU, self._processes.cpu_ratio(), {})
        yield Sample(contract.WORKER_MEMORY, self._processes.memory_bytes(), {})
        with self._lock:
            running = list(self._running.values())
        yield from _by_agent(running, time.time())


def _by_agent(running: Iterable[Started], now: float) -> Iterator[Sample]:
    counts: defaultdict[str, int] = defaultdict(int)
    oldest: dict[str, float] = {}
    for task in running:
        counts[task.agent] += 1
        oldest[task.agent] = max(oldest.get(task.agent, 0.0), now - task.started_at)
    for agent, count in counts.items():
        yield Sample(contract.TASKS_IN_PROGRESS, count, {"agent": agent})
        yield Sample(contract.OLDEST_RUNNING_TASK, oldest[agent], {"agent": agent})
