"""Tasks a second: one worker of ours, all telemetry on, against one stock `rq worker` with a bare function.

Run: python -m benchmarks.worker_rate [TASKS] [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis
from rq import Queue

from benchmarks.service import AGENT_MODULE, Service, valkey

OURS = ["-m", "agent_service", "worker"]
STOCK = ["-m", "rq.cli", "worker", "--quiet", "default"]


def queue_ours(service: Service, redis: Redis, count: int) -> None:
    """Submit no-op tasks over the API."""
    del redis
    service.submit_many(count)


def queue_stock(service: Service, redis: Redis, count: int) -> None:
    """Enqueue a bare function as RQ's own users do."""
    del service
    queue = Queue("default", connection=redis)
    queue.enqueue_many([Queue.prepare_data("benchmarks.bare.bare", result_ttl=3600) for _ in range(count)])


def drain_rate(
    service: Service, redis: Redis, tasks: int, fill: Callable[[Service, Redis, int], None], worker: list[str]
) -> float:
    """Queue `tasks` no-op tasks, start a worker, and return how many a second it ends, its start-up left out."""
    redis.flushall()
    fill(service, redis, tasks + 1)
    process = subprocess.Popen(
        [sys.executable, *worker],
        env={**service.environment, "RQ_REDIS_URL": service.environment["REDIS_URL"]},
        cwd=service.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while (first := redis.zcard("rq:finished:default")) < 1:
            time.sleep(0.001)
        began = time.perf_counter()
        while redis.zcard("rq:finished:default") < tasks + 1:
            time.sleep(0.005)
        return float((tasks + 1 - first) / (time.perf_counter() - began))
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    tasks, rounds = (int(argument) for argument in [*sys.argv[1:], *["300", "3"][len(sys.argv) - 1 :]])
    with TemporaryDirectory() as folder, valkey() as url, Service(url, Path(folder)) as service:
        redis = Redis.from_url(url)
        ours, stock = [], []
        for _ in range(rounds):
            ours.append(drain_rate(service, redis, tasks, queue_ours, OURS))
            stock.append(drain_rate(service, redis, tasks, queue_stock, STOCK))
    a, b = statistics.median(ours), statistics.median(stock)
    print(f"no-op tasks of {AGENT_MODULE}, {tasks} a round, {rounds} rounds interleaved, one worker each, medians")
    print(f"  agent-service worker, all telemetry on  {a:8.0f} tasks/s  {[round(rate) for rate in ours]}")
    print(f"  stock rq worker, a bare function        {b:8.0f} tasks/s  {[round(rate) for rate in stock]}")
    print(f"  ratio                                   {a / b:8.1f}x")


if __name__ == "__main__":
    main()
