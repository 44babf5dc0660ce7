"""The long-lived child: takes tasks and runs them, sync agents one at a time, async agents many at once.

The main thread takes tasks and runs the sync ones, since only there can they be interrupted. A second thread holds
the event loop of the async ones. A third listens to the supervisor; when that is gone, the child is gone.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

import uvloop
from redis.exceptions import RedisError

from agent_service.agents import AgentRegistry, agent_modules
from agent_service.settings import Settings
from agent_service.tasks.broker import Broker
from agent_service.tasks.callbacks import CallbackCaller
from agent_service.tasks.connection import connect
from agent_service.tasks.control import TaskControl
from agent_service.tasks.jobs import TaskJob
from agent_service.tasks.journal import Journal, JournalWriter
from agent_service.tasks.ledger import Ledger, StartedTask
from agent_service.tasks.models import TaskEventKind
from agent_service.tasks.profiles import ProfileStore
from agent_service.tasks.rq_worker import RqWorker
from agent_service.tasks.scripted_ledger import ledger_for
from agent_service.tasks.submission import Submitter
from agent_service.telemetry.contract import ServiceName
from agent_service.telemetry.logs import LogContext, add_sink, configure_logging
from agent_service.telemetry.profiles import ProfileKind
from agent_service.telemetry.resources import meter_task_factory
from agent_service.telemetry.traces import SpanSink, configure_tracing, shutdown_tracing
from agent_service.worker.attempt import Attempt
from agent_service.worker.profiling import Profiler
from agent_service.worker.protocol import (
    Channel,
    Drain,
    ForwardedCounters,
    Leaving,
    ProfileYourself,
    Ready,
    Stop,
    Suspend,
    WatchProfiles,
)
from agent_service.worker.runner import Runner
from agent_service.workflows import WorkflowRunner, load_workflows

logger = logging.getLogger("agent_service.worker.child")  # this module runs as __main__

POP_SECONDS = 1
REDIS_WAIT_LIMIT = 5.0
FLUSH_SECONDS = 5.0


class Child:
    """Takes tasks from one queue and runs them until told to drain, or until it ran its share."""

    def __init__(self, settings: Settings, queue: str, name: str, channel: Channel) -> None:
        self._settings = settings
        self._channel = channel
        redis = connect(settings, retries=0)
        journal = Journal(redis, settings)
        self._ledger: Ledger = ledger_for(RqWorker(redis, queue, name, settings), journal)
        broker = Broker(connect(settings))
        self._writer = JournalWriter(broker.redis, journal)
        self._loop = uvloop.new_event_loop()
        self._loop.set_task_factory(meter_task_factory)
        counters = ForwardedCounters(channel)
        modules = agent_modules(settings.agent_modules, faults=settings.fault_agents)
        agents = AgentRegistry(modules)
        submitter = Submitter(broker, agents, settings, counters, journal)
        control = TaskControl(broker, settings, counters, journal)
        agents.add(WorkflowRunner(submitter, control, load_workflows(modules), settings).coordinator())
        self._runner = Runner(self._ledger, agents, channel, submitter, self._writer, self._loop)
        self._profiler = Profiler(ProfileStore(broker.redis, settings), name)
        self._profiler.refresh()
        Attempt.profiler = self._profiler
        self._free = threading.BoundedSemaphore(settings.worker_async_tasks)
        self._gate = threading.Condition()
        self._suspended = False
        self._draining = False
        self._taken = 0

    def run(self) -> None:
        """Work until there is a reason to leave."""
        add_sink(self._keep_line)
        threading.Thread(target=self._loop.run_forever, name="async-agents", daemon=True).start()
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()
        self._channel.send(Ready())
        while not self._draining and self._taken < self._settings.worker_recycle_tasks:
            if self._wait_while_suspended() and self._free.acquire(timeout=POP_SECONDS):
                self._work()
        for _ in range(self._settings.worker_async_tasks):
            self._free.acquire()  # each async task gives its slot back at its end
        self._leave()

    def _work(self) -> None:
        """Run the next task and those that are taken at its end; gives the slot back unless the event loop will."""
        handed_over = False
        try:
            started = self._take()
            while started is not None and not handed_over:
                started, handed_over = self._run(started)
        except RedisError as error:
            self._wait_for_redis(error)
        finally:
            if not handed_over:
                self._free.release()

    def _run(self, started: StartedTask) -> tuple[StartedTask | None, bool]:
        """Run a task here, or hand it to the event loop; return the next one, and whether it was handed over."""
        self._taken += 1
        running = self._runner.begin(started)
        definition = running.attempt.definition
        if definition is not None and definition.is_async:
            self._runner.run_in_loop(running, self._free.release)
            return None, True
        return self._runner.run_here(running, self._wants_more), False

    def _take(self) -> StartedTask | None:
        started = self._ledger.take(None)
        if started is None:
            if self._runner.is_idle:
                self._ledger.rest()
            started = self._ledger.take(POP_SECONDS, self._wants_more)
        return started

    def _wants_more(self) -> bool:
        """Whether another task may be taken now."""
        return not self._suspended and not self._draining and self._taken < self._settings.worker_recycle_tasks

    def _wait_while_suspended(self) -> bool:
        """Return whether a task may be taken, after a while where not."""
        with self._gate:
            if self._suspended and not self._draining:
                self._gate.wait(POP_SECONDS)
            return self._wants_more()

    def _wait_for_redis(self, error: RedisError) -> None:
        logger.warning("Redis is away, waiting for it: %s", error)
        wait = 0.1
        while not self._draining:
            time.sleep(wait)
            wait = min(2 * wait, REDIS_WAIT_LIMIT)
            try:
                self._ledger.rest()
            except RedisError:
                continue
            logger.info("Redis is back")
            return

    def _leave(self) -> None:
        if TaskJob.callbacks:
            TaskJob.callbacks.close()
        self._profiler.close()
        self._writer.close(FLUSH_SECONDS)
        shutdown_tracing(FLUSH_SECONDS)
        self._channel.send(Leaving())

    def _keep_line(self, context: LogContext, line: dict[str, Any]) -> None:
        """Keep a log line with its task."""
        self._writer.write(context.task_id, TaskEventKind.LOG, line)

    def _listen(self) -> None:
        """Do what the supervisor says; leave at once when it is gone, since its tasks are given to others then."""
        try:
            while True:
                for message in self._channel.receive():
                    self._obey(message)
        except EOFError:
            os._exit(1)

    def _obey(self, message: object) -> None:
        match message:
            case Stop(execution_id):
                self._runner.stop(execution_id)
            case Suspend(suspended):
                with self._gate:
                    self._suspended = suspended
                    self._gate.notify_all()
                logger.info("child %s", "stops taking tasks" if suspended else "takes tasks again")
            case WatchProfiles():
                self._profiler.refresh()
            case ProfileYourself(profile_id, kind, seconds):
                self._profiler.profile_process(profile_id, ProfileKind(kind), seconds)
            case Drain():
                with self._gate:
                    self._draining = True
                    self._gate.notify_all()


def main() -> int:
    """Run a child: `python -m agent_service.worker.child QUEUE NAME DESCRIPTOR`, started by its supervisor."""
    queue, name, descriptor = sys.argv[1:4]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    settings = Settings()
    configure_logging(ServiceName.WORKER, settings)
    redis = connect(settings)
    journal = Journal(redis, settings)
    configure_tracing(ServiceName.WORKER, exporters=[SpanSink(journal.write_spans)] if journal.is_kept else [])
    TaskJob.callbacks = CallbackCaller(allow_private=settings.callback_allow_private)
    channel = Channel(socket.socket(fileno=int(descriptor)))
    Child(settings, queue, name, channel).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
