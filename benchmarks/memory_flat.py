"""Whether memory stays flat: the resident memory of the API and a worker while 200 000 tasks go through them.

The worker's child is not recycled meanwhile, so what it does not give back would show. What Valkey keeps of ended tasks
is deleted between two readings; its memory is that of the results which somebody wants kept, and no part of this.

Run: python -m benchmarks.memory_flat [TASKS] [MINUTES]
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from redis import Redis

from benchmarks.service import Service, valkey

TASKS, MINUTES = 200_000, 15.0
STEP = 20_000
"""Tasks between two readings; the first step warms up and is the base of the growth."""
LIMIT_PERCENT = 5.0
KEPT = ("rq:job:*", "rq:results:*", "agents:journal:*", "agents:spans:*")


def megabytes(process: psutil.Process) -> float:
    """Return a process's resident memory in MB."""
    return process.memory_info().rss / 1e6


def wait_for_child(worker: psutil.Process) -> psutil.Process:
    """Return the process that runs the worker's tasks."""
    deadline = time.monotonic() + 60
    while not (children := worker.children()):
        if time.monotonic() > deadline:
            raise TimeoutError("the worker has no child")
        time.sleep(0.05)
    return children[0]


def run(service: Service, redis: Redis, count: int, deadline: float) -> float:
    """Put `count` tasks through the service, and return how many a second it ended."""
    began = time.perf_counter()
    service.submit_many(count)
    while redis.zcard("rq:finished:default") < count:
        if time.monotonic() > deadline:
            raise TimeoutError("the time is up; give it more MINUTES, or fewer TASKS")
        time.sleep(0.05)
    return count / (time.perf_counter() - began)


def forget(redis: Redis) -> None:
    """Delete what is kept of ended tasks."""
    redis.delete("rq:finished:default", "agents:tasks", "agents:tasks:noop")
    for pattern in KEPT:
        batch = []
        for key in redis.scan_iter(pattern, count=1000):
            batch.append(key)
            if len(batch) == 1000:
                redis.unlink(*batch)
                batch = []
        if batch:
            redis.unlink(*batch)


def main() -> int:
    """Print a line for each step and the growth; exit 1 where that is more than 5 per cent."""
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else TASKS
    minutes = float(sys.argv[2]) if len(sys.argv) > 2 else MINUTES
    deadline = time.monotonic() + 60 * minutes
    settings = {"WORKER_RECYCLE_TASKS": str(10 * tasks)}
    with TemporaryDirectory() as folder, valkey() as url, Service(url, Path(folder), **settings) as service:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent_service", "worker"],
            env=service.environment,
            cwd=service.folder,
            stdout=subprocess.DEVNULL,
        )
        try:
            readings = measure(service, Redis.from_url(url), psutil.Process(process.pid), tasks, deadline)
        finally:
            process.terminate()
            process.wait(60)
    growths = [100 * (last / first - 1) for first, last in zip(readings[0], readings[-1], strict=True)]
    print(f"{'growth':>8}" + "".join(f"{growth:+12.1f} % " for growth in growths))
    return int(max(growths) > LIMIT_PERCENT)


def measure(
    service: Service, redis: Redis, worker: psutil.Process, tasks: int, deadline: float
) -> list[tuple[float, float, float]]:
    """Return the memory of API, supervisor and child in MB after each step, and print it."""
    parts = [psutil.Process(service.process.pid), worker, wait_for_child(worker)]
    step = min(STEP, tasks // 4)
    readings = []
    print(f"{'tasks':>8}{'API':>12} MB{'supervisor':>12} MB{'child':>12} MB{'tasks/s':>10}")
    for done in range(step, tasks + 1, step):
        rate = run(service, redis, step, deadline)
        readings.append((megabytes(parts[0]), megabytes(parts[1]), megabytes(parts[2])))
        print(f"{done:8}" + "".join(f"{value:12.1f} MB" for value in readings[-1]) + f"{rate:10.0f}", flush=True)
        forget(redis)
    return readings


if __name__ == "__main__":
    sys.exit(main())
