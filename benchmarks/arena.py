"""Where contenders are measured: one Valkey, one sink for spans, and two worker processes at a time."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from redis import Redis

from benchmarks.contenders import Contender
from benchmarks.peers.work import MARK
from benchmarks.service import ROOT, free_port, wait_for_port

WAIT_SECONDS = 120.0
LATENCY_RATE = 50.0
SKIPPED = 0.1
"""The share of the tasks that ends before the clock starts, so that nobody's start-up counts."""


@dataclass(frozen=True, slots=True)
class Drain:
    """How a queue was emptied.

    Attributes:
        rate: Tasks a second.
        cpu: Microseconds of processor time a task, of the workers.
        server_cpu: The same of Valkey.
        commands: Redis commands a task, those inside scripts included.
        sent: Bytes that Valkey received a task.
        memory: Resident bytes of all worker processes at the end.
    """

    rate: float
    cpu: float
    server_cpu: float
    commands: float
    sent: float
    memory: float

    @property
    def cost(self) -> float:
        """Microseconds of processor time a task, of workers and Valkey together."""
        return self.cpu + self.server_cpu


@dataclass(frozen=True, slots=True)
class _Reading:
    tasks: int
    moment: float
    cpu: float
    server_cpu: float
    commands: float
    sent: float
    memory: float


class Arena:
    """Starts workers and watches the file in which tasks mark their ends."""

    def __init__(self, redis_url: str, folder: Path, environment: dict[str, str], collector: str) -> None:
        self.redis = Redis.from_url(redis_url)
        self._done = folder / "done"
        self._server = psutil.Process(int(self.redis.info("server")["process_id"]))  # type: ignore[index]
        self.environment = {
            **environment,
            "RQ_REDIS_URL": redis_url,
            "BENCH_DONE": str(self._done),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "WORKER_ASYNC_TASKS": "128",
        }

    def reset(self) -> None:
        """Empty the server and the file."""
        self.redis.flushall()
        self._done.unlink(missing_ok=True)
        self._done.touch()

    @contextmanager
    def workers(self, contender: Contender, kind: str) -> Iterator[list[psutil.Process]]:
        """Run a contender's workers."""
        processes = [
            subprocess.Popen(
                [contender.python, *command],
                env={**self.environment, **contender.environment},
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            for command in contender.commands(kind)
        ]
        try:
            yield [psutil.Process(process.pid) for process in processes]
        finally:
            for process in processes:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            for process in processes:
                _end(process)

    def wait_for(self, tasks: int, seconds: float = WAIT_SECONDS) -> int:
        """Wait until so many tasks have marked their ends, and return how many have."""
        deadline = time.monotonic() + seconds
        while (count := self.ended()) < tasks:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{count} of {tasks} tasks ended")
            time.sleep(0.002)
        return count

    def ended(self) -> int:
        """Return how many tasks have marked their ends."""
        return self._done.stat().st_size // MARK.size

    def drain(self, contender: Contender, kind: str) -> Drain:
        """Queue tasks, start the workers, and measure how the queue is emptied."""
        self.reset()
        tasks = contender.tasks[kind]
        contender.submit(self.environment, kind, tasks)
        with self.workers(contender, kind) as processes:
            first = self.read(processes, self.wait_for(round(tasks * SKIPPED)))
            last = self.read(processes, self.wait_for(tasks))
        return between(first, last)

    def latencies(self, contender: Contender, tasks: int) -> list[float]:
        """Return for each of so many tasks, 50 a second, the milliseconds from its submission to its run, sorted."""
        self.reset()
        warm = 20
        with self.workers(contender, "noop"):
            contender.submit(self.environment, "noop", warm, LATENCY_RATE)
            self.wait_for(warm)
            contender.submit(self.environment, "noop", tasks, LATENCY_RATE)
            self.wait_for(warm + tasks)
        marks = MARK.iter_unpack(self._done.read_bytes()[warm * MARK.size :])
        return sorted(seconds * 1000 for (seconds,) in marks)

    def read(self, processes: Sequence[psutil.Process], tasks: int) -> _Reading:
        """Read every meter at once."""
        stats: dict[str, float] = self.redis.info("stats")  # type: ignore[assignment]
        cpu, memory = _use(processes)
        server = self._server.cpu_times()
        return _Reading(
            tasks,
            time.perf_counter(),
            cpu,
            server.user + server.system,
            stats["total_commands_processed"],
            stats["total_net_input_bytes"],
            memory,
        )


def between(first: _Reading, last: _Reading) -> Drain:
    """Return what happened between two readings."""
    tasks = last.tasks - first.tasks
    return Drain(
        rate=tasks / (last.moment - first.moment),
        cpu=(last.cpu - first.cpu) / tasks * 1e6,
        server_cpu=(last.server_cpu - first.server_cpu) / tasks * 1e6,
        commands=(last.commands - first.commands) / tasks,
        sent=(last.sent - first.sent) / tasks,
        memory=last.memory,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of sorted values lies."""
    return values[min(len(values) - 1, int(len(values) * share))]


def median(drains: Sequence[Drain]) -> Drain:
    """Return the median of each figure."""
    return Drain(*(statistics.median(getattr(each, name) for each in drains) for name in Drain.__slots__))


@contextmanager
def collector() -> Iterator[str]:
    """Run a sink for spans and yield its endpoint."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.otlp_sink", str(port)], cwd=ROOT)
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _use(processes: Sequence[psutil.Process]) -> tuple[float, float]:
    """Return the processor seconds and the resident bytes of processes and their children."""
    cpu = memory = 0.0
    for root in processes:
        with suppress(psutil.Error):
            for process in (root, *root.children(recursive=True)):
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    cpu += times.user + times.system + times.children_user + times.children_system
                    memory += process.memory_info().rss
    return cpu, memory


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
