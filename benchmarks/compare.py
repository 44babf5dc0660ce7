"""Tasks a second against other queues: two worker processes each, on the same Valkey, interleaved.

Ours runs with all telemetry on; the others run bare. Run: make bench-peers, or
python -m benchmarks.compare [ROUNDS] with the peers' Python in PEERS_PYTHON.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks.service import ROOT, Service, valkey

COUNTS = {"noop": 1500, "cpu": 400, "wait": 1000}
SLOW_COUNTS = {"noop": 150, "cpu": 150, "wait": 150}
"""For stock RQ, which forks for every task."""
WAIT_SECONDS = 180.0
PEERS_PYTHON = os.environ.get("PEERS_PYTHON", ".venv-peers/bin/python")


@dataclass(frozen=True, slots=True)
class Contender:
    """One queue.

    Attributes:
        name: As it is known.
        commands: By kind of task, the arguments of Python that start its workers: two processes in all.
        fill: Enqueues that many tasks of a kind.
        python: Its interpreter.
        counts: How many tasks it gets.
    """

    name: str
    commands: Callable[[str], list[list[str]]]
    fill: Callable[[str, int], None]
    python: str
    counts: dict[str, int]


def drain_rate(contender: Contender, kind: str, redis: Redis, environment: dict[str, str], folder: Path) -> float:
    """Queue the tasks, start the workers, and return how many a second end, from the first tenth to the last."""
    redis.flushall()
    done = folder / "done"
    done.unlink(missing_ok=True)
    done.touch()
    count = contender.counts[kind]
    contender.fill(kind, count)
    workers = [
        subprocess.Popen(
            [contender.python, *command],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for command in contender.commands(kind)
    ]
    try:
        first, began = _wait_for(done, count // 10)
        last, ended = _wait_for(done, count)
        return (last - first) / (ended - began)
    finally:
        for worker in workers:
            os.killpg(worker.pid, signal.SIGTERM)
        for worker in workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(worker.pid, signal.SIGKILL)


def _wait_for(done: Path, count: int) -> tuple[int, float]:
    deadline = time.monotonic() + WAIT_SECONDS
    while (size := done.stat().st_size) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{size} of {count} tasks ended")
        time.sleep(0.002)
    return size, time.perf_counter()


def contenders(service: Service, environment: dict[str, str]) -> list[Contender]:
    """Return everybody, ours first."""

    def ours(kind: str, count: int) -> None:
        item = {"agent": f"bench-{kind}", "input": {}}
        for start in range(0, count, 500):
            batch = [item] * min(500, count - start)
            service.http.post("/tasks/batch", json={"tasks": batch}).raise_for_status()

    def peer(name: str) -> Callable[[str, int], None]:
        def fill(kind: str, count: int) -> None:
            argv = [PEERS_PYTHON, "-m", "benchmarks.peers", name, kind, str(count)]
            subprocess.run(argv, env=environment, cwd=ROOT, check=True)

        return fill

    celery = ["-m", "celery", "-A", "benchmarks.peers.celery_app", "worker", "--loglevel", "ERROR"]
    taskiq = ["-m", "taskiq", "worker", "--log-level", "ERROR", "benchmarks.peers.taskiq_app:broker", "--workers", "2"]
    huey = ["-m", "huey.bin.huey_consumer", "benchmarks.peers.huey_app.huey", "-n", "-d", "0.01", "-w"]
    saq = ["-m", "saq", "benchmarks.peers.saq_app.settings", "--workers", "2", "--quiet"]
    dramatiq = ["-m", "dramatiq", "benchmarks.peers.dramatiq_app", "--processes", "2", "--threads"]
    rq = ["-m", "rq.cli", "worker", "--quiet", "--url", environment["REDIS_URL"], "default"]
    return [
        Contender(
            "agent-service, watched", lambda _: [["-m", "agent_service", "worker"]] * 2, ours, sys.executable, COUNTS
        ),
        Contender("rq", lambda _: [rq] * 2, peer("rq"), sys.executable, SLOW_COUNTS),
        Contender(
            "celery",
            lambda kind: (
                [[*celery, "-P", "gevent", "-c", "50", "-n", f"w{n}"] for n in range(2)]
                if kind == "wait"
                else [[*celery, "-c", "2"]]
            ),
            peer("celery"),
            PEERS_PYTHON,
            COUNTS,
        ),
        Contender(
            "dramatiq",
            lambda kind: [[*dramatiq, "32" if kind == "wait" else "4"]],
            peer("dramatiq"),
            PEERS_PYTHON,
            COUNTS,
        ),
        Contender(
            "huey",
            lambda kind: [[*huey, "64", "-k", "greenlet"]] if kind == "wait" else [[*huey, "2", "-k", "process"]],
            peer("huey"),
            PEERS_PYTHON,
            COUNTS,
        ),
        Contender("taskiq", lambda _: [taskiq], peer("taskiq"), PEERS_PYTHON, COUNTS),
        Contender("saq", lambda _: [saq], peer("saq"), PEERS_PYTHON, COUNTS),
    ]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with TemporaryDirectory() as name, valkey() as url:
        folder = Path(name)
        done = {"BENCH_DONE": str(folder / "done"), "AGENT_MODULES": "benchmarks.peers.agents"}
        with Service(url, folder, **done) as service:
            environment = {**service.environment, "WORKER_ASYNC_TASKS": "64"}
            everybody = contenders(service, environment)
            redis = Redis.from_url(url)
            rates: dict[tuple[str, str], list[float]] = {}
            for _ in range(rounds):
                for kind in COUNTS:
                    for each in everybody:
                        rate = drain_rate(each, kind, redis, environment, folder)
                        rates.setdefault((each.name, kind), []).append(rate)
    print(
        f"tasks a second, two worker processes, medians of {rounds} interleaved rounds; in brackets: ours over theirs"
    )
    print(f"{'':24}" + "".join(f"{kind:>20}" for kind in COUNTS))
    for each in everybody:
        cells = []
        for kind in COUNTS:
            own, other = (statistics.median(rates[who, kind]) for who in (everybody[0].name, each.name))
            cells.append(f"{other:10.0f} ({own / other:5.2f}x)")
        print(f"{each.name:24}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
