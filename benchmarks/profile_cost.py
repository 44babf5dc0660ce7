"""What profiles cost: nothing while nobody asks for one, and what each kind does to a task that is profiled.

The first part drains no-op tasks with a worker as it is, and with one from which the place where profiles begin was
taken out; two workers that are the same are measured beside them, since their difference is the noise. The second part
runs the same work with and without each profiler, in this process.

Run: python -m benchmarks.profile_cost [TASKS] [ROUNDS]
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from redis import Redis

from agent_service.settings import Settings
from agent_service.tasks.jobs import TaskMeta
from agent_service.tasks.profiles import ProfileStore
from agent_service.telemetry.profiles import ProfileKind, collector_for_call
from agent_service.telemetry.profiles.steps import await_profiled, call_profiled
from agent_service.telemetry.resources import meter_task_factory
from agent_service.worker.profiling import Profiler
from benchmarks.service import AGENT_MODULE, Service, valkey

WARM_UP = 50
WITHOUT = f"{AGENT_MODULE},benchmarks.without_profile_hook"


def compute() -> int:
    """Compute with many small calls, as parsers and planners do."""
    return sum(_one(number) for number in range(60_000))


def _one(number: int) -> int:
    return number * number % 7


def library() -> int:
    """Spend the time in C, as most agents that handle documents do."""
    text = json.dumps([{"name": f"name-{number}", "value": number} for number in range(3_000)])
    return sum(len(json.loads(text)) for _ in range(6))


async def waiting() -> int:
    """Wait for others, as agents that call models and tools do."""
    for _ in range(20):
        await asyncio.sleep(0.002)
    return sum(range(1_000))


WORK: dict[str, Callable[[], Any]] = {"small calls": compute, "in C": library, "async waits": waiting}


def seconds(work: Callable[[], Any], kind: ProfileKind | None) -> float:
    """Return how long the work takes under a profiler; the evaluation, which a thread does later, is left out."""
    is_async = asyncio.iscoroutinefunction(work)
    return asyncio.run(_async_seconds(work, kind)) if is_async else _sync_seconds(work, kind)


def _sync_seconds(work: Callable[[], Any], kind: ProfileKind | None) -> float:
    began = time.perf_counter()
    if kind is None:
        work()
    else:
        collector = collector_for_call(kind, work, by_steps=False)
        collector.reserve()
        call_profiled(collector, work, lambda: collector.end())
    return time.perf_counter() - began


async def _async_seconds(work: Callable[[], Coroutine[Any, Any, Any]], kind: ProfileKind | None) -> float:
    asyncio.get_running_loop().set_task_factory(meter_task_factory)
    began = time.perf_counter()
    if kind is None:
        await work()
    else:
        collector = collector_for_call(kind, work, by_steps=True)
        collector.reserve()
        await await_profiled(collector, work, lambda: collector.end())
    return time.perf_counter() - began


def cpu_microseconds(service: Service, redis: Redis, tasks: int) -> float:
    """Queue no-op tasks, start a worker, and return the processor time of each task, its start-up left out."""
    redis.flushall()
    service.submit_many(tasks + WARM_UP)
    worker = psutil.Popen(
        [sys.executable, "-m", "agent_service", "worker"],
        env=service.environment,
        cwd=service.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        first = _wait_for(redis, WARM_UP)
        began = _cpu_seconds(worker)
        last = _wait_for(redis, tasks + WARM_UP)
        return (_cpu_seconds(worker) - began) / (last - first) * 1e6
    finally:
        worker.terminate()
        worker.wait(60)


def _wait_for(redis: Redis, count: int) -> int:
    while (finished := int(redis.zcard("rq:finished:default"))) < count:
        time.sleep(0.002)
    return finished


def _cpu_seconds(worker: psutil.Process) -> float:
    return float(sum(sum(process.cpu_times()[:2]) for process in (worker, *worker.children())))


def off_cost(tasks: int, rounds: int) -> None:
    """Compare workers with and without the hook."""
    costs: dict[str, list[float]] = {"with": [], "without": [], "with, again": []}
    with TemporaryDirectory() as folder, valkey() as url, Service(url, Path(folder)) as service:
        redis = Redis.from_url(url)
        for _ in range(rounds):
            for side, values in costs.items():
                service.environment["AGENT_MODULES"] = WITHOUT if side == "without" else AGENT_MODULE
                values.append(cpu_microseconds(service, redis, tasks))
    medians = {side: statistics.median(values) for side, values in costs.items()}
    print(f"profiles off: no-op tasks, {tasks} a round, {rounds} rounds interleaved, one worker, medians")
    for side, values in costs.items():
        print(f"  hook {side:12} {medians[side]:8.0f} us of CPU a task  {[round(value) for value in values]}")
    print(f"  ratio with/without              {medians['with'] / medians['without']:6.3f}")
    print(f"  ratio of two that are the same  {medians['with, again'] / medians['with']:6.3f}, the noise")
    hook = look_nanoseconds()
    print(f"  the look itself                 {hook:6.0f} ns, {hook / 10 / medians['without']:.3f} % of that task")


def look_nanoseconds() -> float:
    """Return how long a profiler takes to say that a task is not profiled."""
    profiler = Profiler(ProfileStore(Redis(), Settings()), "benchmark")
    meta = TaskMeta(agent="noop", submitted_at=datetime.now(UTC))
    return min(timeit.repeat(lambda: profiler.wants(meta), number=100_000, repeat=7)) / 100_000 * 1e9


def on_cost(rounds: int) -> None:
    """Compare runs under each profiler with runs without."""
    print(f"\nprofiles on: the same work, profiled over not, best of {rounds} rounds interleaved")
    for name, work in WORK.items():
        plain: list[float] = []
        profiled: dict[ProfileKind, list[float]] = {kind: [] for kind in ProfileKind}
        for kind in ProfileKind:
            seconds(work, kind)  # imports the profiler
        for _ in range(rounds):
            plain.append(seconds(work, None))
            for kind, values in profiled.items():
                values.append(seconds(work, kind))
        base = min(plain)  # what else the machine does only ever adds
        ratios = "  ".join(f"{kind} {min(values) / base:5.2f}x" for kind, values in profiled.items())
        print(f"  {name:12} {base * 1e3:6.1f} ms   {ratios}")


def main() -> None:
    tasks, rounds = (int(argument) for argument in [*sys.argv[1:], *["1000", "5"][len(sys.argv) - 1 :]])
    off_cost(tasks, rounds)
    on_cost(2 * rounds)


if __name__ == "__main__":
    main()
