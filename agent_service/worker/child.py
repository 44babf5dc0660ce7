"""The long-lived child: takes tasks and runs them, sync agents one at a time, async agents many at once.

The main thread runs the sync tasks, since only there can they be interrupted. A second thread holds the event loop,
which takes tasks and runs the async ones. A third listens to the supervisor; when that is gone, the child is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from base64 import b64encode
from functools import partial

import uvloop

from agent_service.agents import AgentRegistry, agent_modules
from agent_service.settings import Settings
from agent_service.tasks.broker import Broker
from agent_service.tasks.callbacks import CallbackCaller
from agent_service.tasks.connection import connect, connect_async, wait_for_redis
from agent_service.tasks.control import TaskControl
from agent_service.tasks.jobs import TaskJob
from agent_service.tasks.journal import Journal, JournalWriter
from agent_service.tasks.profiles import ProfileStore
from agent_service.tasks.rq_worker import RqWorker
from agent_service.tasks.scripted_ledger import ledger_for
from agent_service.tasks.submission import Submitter
from agent_service.telemetry.contract import ServiceName
from agent_service.telemetry.logs import add_sink, configure_logging
from agent_service.telemetry.profiles import ProfileKind
from agent_service.telemetry.resources import NoMeter, ResourceMeter, meter_task_factory
from agent_service.telemetry.traces import SpanSink, configure_tracing, shutdown_tracing
from agent_service.worker.attempt import Attempt
from agent_service.worker.feeder import Feeder
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
    Traced,
    WatchProfiles,
)
from agent_service.worker.runner import Runner
from agent_service.workflows import WorkflowRunner, load_workflows

logger = logging.getLogger("agent_service.worker.child")  # this module runs as __main__

FLUSH_SECONDS = 5.0


class Child:
    """Takes tasks from one queue and runs them until told to drain, or until it ran its share."""

    def __init__(self, settings: Settings, queue: str, name: str, channel: Channel, journal: Journal) -> None:
        self._channel = channel
        self._loop = uvloop.new_event_loop()
        if settings.telemetry:
            self._loop.set_task_factory(meter_task_factory)
        broker = Broker(connect(settings))
        self._writer = JournalWriter(broker.redis, journal)
        if journal.is_kept:
            add_sink(self._writer.write_line)
        agents, submitter = _agents(settings, broker, ForwardedCounters(channel), journal)
        self._runner = Runner(
            agents, channel, submitter, self._writer, ResourceMeter if settings.telemetry else NoMeter
        )
        self._profiler = Profiler(ProfileStore(broker.redis, settings), name)
        self._profiler.refresh()
        Attempt.profiler = self._profiler
        worker = RqWorker(connect(settings, retries=0), queue, name, settings)
        beside = [name for name, definition in agents.items() if definition.is_async]
        ledger = ledger_for(worker, journal, connect_async(settings, retries=0), beside)
        self._feeder = Feeder(settings, ledger, self._runner, channel, self._loop)

    def run(self) -> None:
        """Work until there is a reason to leave."""
        self._hear()  # first of all, whether to take tasks
        threading.Thread(target=self._run_loop, name="event-loop", daemon=True).start()
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()
        self._channel.send(Ready())
        self._feeder.run_sync_tasks()
        self._leave()

    def _run_loop(self) -> None:
        """Run the event loop; when it breaks, the child breaks, and the supervisor settles what it ran."""
        try:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._feeder.serve())
            self._loop.run_forever()  # what an agent left behind may go on until the process ends
        except BaseException:
            logger.exception("the child cannot go on")
            os._exit(1)

    def _leave(self) -> None:
        if TaskJob.callbacks:
            TaskJob.callbacks.close()
        self._profiler.close()
        self._writer.close(FLUSH_SECONDS)
        shutdown_tracing(FLUSH_SECONDS)
        self._channel.send(Leaving())

    def _listen(self) -> None:
        while True:
            self._hear()

    def _hear(self) -> None:
        """Do what the supervisor says; leave at once when it is gone, since its tasks are given to others then."""
        try:
            for message in self._channel.receive():
                self._obey(message)
        except EOFError:
            os._exit(1)

    def _obey(self, message: object) -> None:
        match message:
            case Stop(execution_id):
                self._runner.stop(execution_id, self._loop)
            case Suspend(suspended):
                if self._feeder.suspend(suspended):
                    logger.info("child %s", "stops taking tasks" if suspended else "takes tasks again")
            case WatchProfiles():
                self._profiler.refresh()
            case ProfileYourself(profile_id, kind, seconds):
                self._profiler.profile_process(profile_id, ProfileKind(kind), seconds)
            case Drain():
                self._feeder.drain()


def _agents(
    settings: Settings, broker: Broker, counters: ForwardedCounters, journal: Journal
) -> tuple[AgentRegistry, Submitter]:
    """Return the agents that the child knows, and what submits their sub-tasks."""
    modules = agent_modules(settings.agent_modules, faults=settings.fault_agents)
    agents = AgentRegistry(modules)
    submitter = Submitter(broker, agents, settings, counters, journal)
    control = TaskControl(broker, settings, counters, journal)
    agents.add(WorkflowRunner(submitter, control, load_workflows(modules), settings).coordinator())
    return agents, submitter


def _relay_span(channel: Channel, otlp: bytes) -> None:
    """Leave a span to the supervisor at once: what runs next may kill this process."""
    channel.send(Traced(b64encode(otlp).decode()))


def main() -> int:
    """Run a child: `python -m agent_service.worker.child QUEUE NAME DESCRIPTOR`, started by its supervisor."""
    queue, name, descriptor = sys.argv[1:4]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    settings = Settings()
    configure_logging(ServiceName.WORKER, settings)
    redis = connect(settings)
    channel = Channel(socket.socket(fileno=int(descriptor)))
    if not wait_for_redis(redis, channel.is_open):
        return 1
    journal = Journal(redis, settings)
    if settings.telemetry:
        sinks = [SpanSink(journal.write_spans)] if journal.is_kept else []
        configure_tracing(ServiceName.WORKER, instance=name, exporters=sinks, relay=partial(_relay_span, channel))
    TaskJob.callbacks = CallbackCaller(allow_private=settings.callback_allow_private)
    Child(settings, queue, name, channel, journal).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
