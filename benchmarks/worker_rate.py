"""Tasks a second: one worker of ours, fully watched, against one stock `rq worker`, on the same Valkey.

Run: python -m benchmarks.worker_rate [TASKS] [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks.service import AGENT_MODULE, Service, valkey

RQ_WORKER = ["-m", "rq.cli", "worker", "--serializer", "rq.serializers.JSONSerializer", "--quiet"]


def drain_rate(service: Service, redis: Redis, tasks: int, start_worker: list[str]) -> float:
    """Queue `tasks` no-op tasks, start a worker, and return how many a second it ends, its start-up left out."""
    redis.flushall()
    service.submit_many(tasks + 1)
    worker = subprocess.Popen(
        [sys.executable, *start_worker], env=service.environment, cwd=service.folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while redis.zcard("rq:finished:default") < 1:
            time.sleep(0.001)
        began = time.perf_counter()
        first = redis.zcard("rq:finished:default")
        while redis.zcard("rq:finished:default") < tasks + 1:
            time.sleep(0.005)
        return (tasks + 1 - first) / (time.perf_counter() - began)
    finally:
        worker.terminate()
        worker.wait(30)


def main() -> None:
    tasks, rounds = (int(argument) for argument in [*sys.argv[1:], *["300", "3"][len(sys.argv) - 1 :]])
    with TemporaryDirectory() as folder, valkey() as url, Service(url, Path(folder)) as service:
        redis = Redis.from_url(url)
        ours, stock = [], []
        for _ in range(rounds):
            ours.append(drain_rate(service, redis, tasks, ["-m", "agent_service", "worker"]))
            stock.append(drain_rate(service, redis, tasks, [*RQ_WORKER, "--url", url, "default"]))
    a, b = statistics.median(ours), statistics.median(stock)
    print(f"no-op tasks of {AGENT_MODULE}, {tasks} a round, {rounds} rounds interleaved, one worker each, medians")
    print(f"  agent-service worker, all telemetry on  {a:8.0f} tasks/s  {[round(rate) for rate in ours]}")
    print(f"  stock rq worker, same tasks             {b:8.0f} tasks/s  {[round(rate) for rate in stock]}")
    print(f"  ratio                                   {a / b:8.1f}x")


if __name__ == "__main__":
    main()
