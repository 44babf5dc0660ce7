"""Puts a worker together and runs it."""

from __future__ import annotations

import logging
import os
import signal
import socket

from redis.exceptions import RedisError

from agent_service.settings import Settings
from agent_service.tasks.connection import check, connect
from agent_service.tasks.journal import Journal, JournalWriter
from agent_service.tasks.ledger import Ledger
from agent_service.tasks.rq_worker import AbandonedTask, Command, RqWorker
from agent_service.tasks.upkeep import Upkeep
from agent_service.telemetry.contract import Outcome, ServiceName
from agent_service.telemetry.exposition import ExpositionServer
from agent_service.telemetry.identifiers import uuid7
from agent_service.telemetry.logs import LogContext, add_sink, bound, configure_logging
from agent_service.telemetry.metrics import Metrics
from agent_service.telemetry.resources import ProcessTree
from agent_service.telemetry.traces import SpanSink, configure_tracing, shutdown_tracing
from agent_service.worker.duties import Duties
from agent_service.worker.measures import Measures
from agent_service.worker.supervisor import Supervisor

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
_WILDCARDS = frozenset(("0.0.0.0", "::", ""))  # noqa: S104 - compared with, not listened on


def run_worker(settings: Settings, queue: str) -> None:
    """Serve one queue until SIGTERM or SIGINT; the first lets running tasks end, the second kills them.

    Args:
        settings: Where Redis is, and everything else.
        queue: The queue's name.

    Raises:
        RedisUnavailableError: Redis cannot be reached.
        PortTakenError: The port for metrics is taken.
        LogDirectoryError: The log directory cannot be written.
        ChildNeverReadyError: The child dies while it starts.
    """
    configure_logging(ServiceName.WORKER, settings)
    redis = connect(settings, retries=0)
    check(redis, settings)
    journal = Journal(redis, settings)
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid7()[-6:]}"
    if settings.telemetry:
        sinks = [SpanSink(journal.write_spans)] if journal.is_kept else []
        configure_tracing(ServiceName.WORKER, instance=name, exporters=sinks)
    metrics = Metrics()
    exposition = ExpositionServer(
        settings.metrics_host, settings.worker_metrics_port, metrics, setting="WORKER_METRICS_PORT"
    )
    exposition.start()
    writer = JournalWriter(redis, journal)
    if journal.is_kept:
        add_sink(writer.write_line)
    Worker(settings, queue, name, exposition, metrics, journal).run()
    exposition.stop()
    writer.close(FLUSH_SECONDS)
    shutdown_tracing(FLUSH_SECONDS)


class Worker:
    """The parts of one worker, wired."""

    def __init__(
        self,
        settings: Settings,
        queue: str,
        name: str,
        exposition: ExpositionServer,
        metrics: Metrics,
        journal: Journal,
    ) -> None:
        redis = connect(settings, retries=0)
        host = settings.metrics_advertise_host or _reachable(settings.metrics_host)
        self._books = RqWorker(
            redis,
            queue,
            name,
            settings,
            metrics_address=f"{host}:{exposition.port}",
            on_command=self._obey,
            on_abandoned=self._count_abandoned,
        )
        self._measures = Measures(metrics, queue, ProcessTree(self._pids), self._catch_up)
        self._supervisor = Supervisor(settings, queue, name, Ledger(self._books, journal), self._measures)
        self._upkeep = Upkeep(self._books, settings)
        self._duties = Duties(
            self._upkeep, settings, running=self._supervisor.runs, on_suspend=self._supervisor.suspend
        )

    def run(self) -> None:
        """Work until told to shut down.

        Raises:
            RedisError: Redis went away before the worker was registered.
            ChildNeverReadyError: The child dies while it starts.
        """
        signal.signal(signal.SIGTERM, self._supervisor.on_signal)
        signal.signal(signal.SIGINT, self._supervisor.on_signal)
        self._upkeep.register()
        self._duties.start()
        try:
            self._supervisor.run()
        finally:
            self._duties.stop()
            try:
                self._upkeep.unregister()
            except RedisError as error:
                logger.warning("the worker is not unregistered, its entry will expire: %s", error)

    def _obey(self, command: Command) -> None:
        self._supervisor.obey(command)

    def _catch_up(self) -> None:
        self._supervisor.catch_up()

    def _pids(self) -> list[int]:
        return self._supervisor.child_pids()

    def _count_abandoned(self, task: AbandonedTask) -> None:
        """Count and tell a task that another worker left behind when it died as a whole."""
        outcome = Outcome.RETRY if task.will_retry else Outcome.CRASH
        self._measures.abandoned(task.agent, outcome)
        with bound(LogContext(task.id, task.agent, task.agent_id, task.workflow_id)):
            logger.error("task abandoned by a dead worker", extra={"outcome": outcome.value, "worker": task.worker})


def _reachable(host: str) -> str:
    """Return what others can connect to: a worker that listens everywhere is found under its machine's name."""
    return socket.gethostname() if host in _WILDCARDS else host
