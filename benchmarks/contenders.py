"""Who is measured: this service and the other queues, each as its documentation says, with two worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.service import ROOT

PEERS_PYTHON = os.environ.get("PEERS_PYTHON", str(ROOT / ".venv-peers/bin/python"))
KINDS = ("noop", "cpu", "wait", "document")
SLOTS = "128"
"""Tasks that wait at once in each process, for everybody who can."""

Commands = Callable[[str], list[list[str]]]


@dataclass(frozen=True, slots=True)
class Contender:
    """One queue.

    Attributes:
        name: As it is known.
        app: Its module in `benchmarks.peers`, without `_app`.
        commands: By kind of task, the arguments of Python that start its workers: two processes in all.
        python: Its interpreter.
        environment: What it needs besides the environment of all.
        watched: Whether it tells of its tasks by all that it has for that.
        tasks: How many tasks it gets, by kind.
    """

    name: str
    app: str
    commands: Commands
    python: str = PEERS_PYTHON
    environment: Mapping[str, str] = field(default_factory=dict)
    watched: bool = False
    tasks: Mapping[str, int] = field(default_factory=lambda: {"noop": 4000, "cpu": 500, "wait": 4000, "document": 500})

    def submit(self, environment: Mapping[str, str], kind: str, count: int, rate: float = 0) -> float:
        """Submit tasks by the queue's own library, in a process of its own, and return how many seconds that took."""
        argv = [self.python, "-m", "benchmarks.peers", self.app, kind, str(count), str(rate)]
        found = subprocess.run(
            argv, env={**environment, **self.environment}, cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        return float(found.stdout.split()[-1])


def _ours(_: str) -> list[list[str]]:
    return [["-m", "agent_service", "worker"]] * 2


def _rq(_: str) -> list[list[str]]:
    return [["-m", "rq.cli", "worker", "--quiet", "default"]] * 2


def _celery(kind: str) -> list[list[str]]:
    argv = ["-m", "celery", "-A", "benchmarks.peers.celery_app", "worker", "--loglevel", "ERROR"]
    if kind == "wait":
        return [[*argv, "-P", "gevent", "-c", SLOTS, "-n", f"w{number}"] for number in range(2)]
    return [[*argv, "-c", "2"]]


def _dramatiq(kind: str) -> list[list[str]]:
    threads = "64" if kind == "wait" else "8"
    return [["-m", "dramatiq", "benchmarks.peers.dramatiq_app", "--processes", "2", "--threads", threads]]


def _huey(kind: str) -> list[list[str]]:
    argv = ["benchmarks.peers.huey_app.huey", "-n", "-d", "0.01"]
    if kind == "wait":  # what its documentation calls a wrapper: everything is patched before anything is imported
        return [["-m", "benchmarks.peers.huey_gevent", *argv, "-w", SLOTS, "-k", "greenlet"]] * 2
    return [["-m", "huey.bin.huey_consumer", *argv, "-w", "2", "-k", "process"]]


def _taskiq(_: str) -> list[list[str]]:
    argv = ["-m", "taskiq", "worker", "--log-level", "ERROR", "benchmarks.peers.taskiq_app:broker", "--workers", "2"]
    return [[*argv, "--max-async-tasks", SLOTS]]


def _saq(_: str) -> list[list[str]]:
    return [["-m", "saq", "benchmarks.peers.saq_app.settings", "--workers", "2", "--quiet"]]


SLOW = {"noop": 200, "cpu": 150, "wait": 150, "document": 100}
"""For stock RQ, which forks for every task."""
BARE = {"TELEMETRY": "false", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}
WATCHED = {"BENCH_WATCHED": "1"}

OURS = Contender("agent-service", "ours", _ours, sys.executable, watched=True)
OURS_BARE = Contender("agent-service (bare)", "ours", _ours, sys.executable, BARE)
RQ = Contender("rq", "rq", _rq, sys.executable, tasks=SLOW)
PEERS = (
    RQ,
    Contender("celery", "celery", _celery),
    Contender("dramatiq", "dramatiq", _dramatiq),
    Contender("huey", "huey", _huey),
    Contender("taskiq", "taskiq", _taskiq),
    Contender("saq", "saq", _saq),
)
TRACED_PEERS = ("celery + OpenTelemetry", "taskiq + both")
"""Those whose integrations give every task a span, as ours does; the others have none that does."""
WATCHED_PEERS = (
    Contender("celery + OpenTelemetry", "celery", _celery, environment=WATCHED, watched=True),
    Contender("dramatiq + Prometheus", "dramatiq", _dramatiq, environment=WATCHED, watched=True),
    Contender("taskiq + both", "taskiq", _taskiq, environment=WATCHED, watched=True),
)
EVERYBODY = (OURS, OURS_BARE, *PEERS, *WATCHED_PEERS)
