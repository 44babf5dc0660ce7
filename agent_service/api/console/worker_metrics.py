"""What each worker tells of itself at its metrics address, read by the console where no Prometheus has to be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from agent_service.tasks.models import WorkerRecord
from agent_service.telemetry import contract
from agent_service.telemetry.contract import IoDirection, Outcome

ANSWER_SECONDS: Final = 1.0
WORKERS_READ: Final = 64
"""More workers than these are not read one by one; Prometheus is there for them."""
AT_ONCE: Final = 8


class Measure(StrEnum):
    """What is counted for an agent, beside the outcomes."""

    RUNS = "runs"
    RUN_SECONDS = "run_seconds"
    WAITS = "waits"
    WAIT_SECONDS = "wait_seconds"
    CPU_SECONDS = "cpu_seconds"
    READ_BYTES = "read_bytes"
    WRITE_BYTES = "write_bytes"


Totals = defaultdict[tuple[str, str], float]
"""What was counted so far, by agent and by measure or outcome."""

_SUMS: Final = {
    f"{contract.TASK_DURATION.name}_sum": Measure.RUN_SECONDS,
    f"{contract.TASK_DURATION.name}_count": Measure.RUNS,
    f"{contract.TASK_WAIT.name}_sum": Measure.WAIT_SECONDS,
    f"{contract.TASK_WAIT.name}_count": Measure.WAITS,
    contract.AGENT_CPU.name: Measure.CPU_SECONDS,
}
_DIRECTIONS: Final = {
    IoDirection.READ.value: Measure.READ_BYTES.value,
    IoDirection.WRITE.value: Measure.WRITE_BYTES.value,
}
_WANTED: Final = (
    *_SUMS,
    contract.TASKS.name,
    contract.AGENT_IO.name,
    contract.AGENT_MEMORY.name,
    contract.TASKS_IN_PROGRESS.name,
    contract.WORKER_CPU.name,
    contract.WORKER_MEMORY.name,
)
_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)


@dataclass(slots=True)
class WorkerReading:
    """One worker at one moment.

    Attributes:
        totals: What it has counted since it started.
        running: Tasks that run in it, by agent.
        memory_of: Peak memory while an agent last ran, in bytes, by agent.
        cpu_ratio: Processors that it used since it was last read.
        memory_bytes: Its resident memory.
    """

    totals: Totals = field(default_factory=lambda: defaultdict(float))
    running: dict[str, float] = field(default_factory=dict)
    memory_of: dict[str, float] = field(default_factory=dict)
    cpu_ratio: float | None = None
    memory_bytes: float | None = None


class WorkerMetricsReader:
    """Reads all workers, several at once, and none for longer than `ANSWER_SECONDS`."""

    def __init__(self) -> None:
        # A proxy for the outside world knows nothing of a worker beside this process.
        self._client = httpx.Client(timeout=ANSWER_SECONDS, trust_env=False)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="console")

    def read(self, workers: Iterable[WorkerRecord]) -> dict[str, WorkerReading]:
        """Return what those workers tell that answer, by their names."""
        asked = [worker for worker in workers if worker.metrics_address][:WORKERS_READ]
        answers = self._pool.map(lambda worker: self._read(worker.metrics_address), asked)
        return {worker.name: answer for worker, answer in zip(asked, answers, strict=True) if answer is not None}

    def close(self) -> None:
        """Let the connections and threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _read(self, address: str | None) -> WorkerReading | None:
        try:
            response = self._client.get(f"http://{address}/metrics").raise_for_status()
            return parse(response.text)
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError, ValueError):
            return None  # it has just gone, or the console is closing


def parse(exposition: str) -> WorkerReading:
    """Return what a worker's metrics say."""
    reading = WorkerReading()
    # Most lines are buckets of histograms; reading them all would cost more than everything else together.
    lines = "\n".join(line for line in exposition.splitlines() if line.startswith(_WANTED) and "_bucket{" not in line)
    for name, labels, value in _samples(f"{lines}\n"):
        _take(reading, name, labels, value)
    return reading


def _samples(exposition: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def _take(reading: WorkerReading, name: str, labels: dict[str, str], value: float) -> None:
    agent = labels.get("agent", "")
    if name in _SUMS:
        reading.totals[agent, _SUMS[name].value] += value  # summed over the outcomes
    elif name == contract.TASKS.name and labels.get("outcome") in _OUTCOMES:
        reading.totals[agent, labels["outcome"]] += value
    elif name == contract.AGENT_IO.name and labels.get("direction") in _DIRECTIONS:
        reading.totals[agent, _DIRECTIONS[labels["direction"]]] += value
    elif name == contract.AGENT_MEMORY.name:
        reading.memory_of[agent] = value
    elif name == contract.TASKS_IN_PROGRESS.name:
        reading.running[agent] = value
    elif name == contract.WORKER_CPU.name:
        reading.cpu_ratio = value
    elif name == contract.WORKER_MEMORY.name:
        reading.memory_bytes = value
