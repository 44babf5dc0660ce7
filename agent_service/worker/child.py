"""The long-lived child: takes tasks and runs them, sync agents one at a time, async agents many at once.

The main thread takes tasks and runs the sync ones, since only there can they be interrupted. A second thread holds
the event loop of the async ones. A third listens to the supervisor; when that is gone, the child is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import uvloop
from redis.exceptions import RedisError

from agent_service.agents import AgentRegistry, Context, agent_modules
from agent_service.settings import Settings
from agent_service.tasks.broker import Broker
from agent_service.tasks.callbacks import CallbackCaller
from agent_service.tasks.connection import connect
from agent_service.tasks.control import TaskControl
from agent_service.tasks.jobs import TaskJob
from agent_service.tasks.journal import Journal, JournalWriter
from agent_service.tasks.ledger import Ledger, StartedTask
from agent_service.tasks.models import TaskError, TaskEventKind
from agent_service.tasks.queries import TaskReader
from agent_service.tasks.rq_worker import RqWorker
from agent_service.tasks.submission import Submitter
from agent_service.telemetry.contract import Outcome, ServiceName
from agent_service.telemetry.logs import LogContext, add_sink, configure_logging
from agent_service.telemetry.resources import (
    MeteredCoroutine,
    ResourceMeter,
    ResourceUse,
    current_meter,
    meter_task_factory,
)
from agent_service.telemetry.traces import SpanSink, configure_tracing, shutdown_tracing
from agent_service.worker.attempt import Attempt, classify
from agent_service.worker.backend import TaskBackend
from agent_service.worker.interrupts import Interrupts, TaskStoppedError, TaskTimeoutError
from agent_service.worker.protocol import (
    Channel,
    Drain,
    Ended,
    ForwardedCounters,
    GivenUp,
    Leaving,
    Ready,
    Started,
    Stop,
    Suspend,
)
from agent_service.workflows import WorkflowRunner, load_workflows

logger = logging.getLogger("agent_service.worker.child")  # this module runs as __main__

POP_SECONDS = 1
REDIS_WAIT_LIMIT = 5.0
FLUSH_SECONDS = 5.0


@dataclass(slots=True)
class Running:
    """A task that runs in this child."""

    attempt: Attempt
    started: StartedTask
    backend: TaskBackend
    meter: ResourceMeter
    began: float
    loop_task: asyncio.Task[None] | None = None

    @property
    def context(self) -> Context:
        """What the agent sees."""
        popped = self.attempt.popped
        return Context(
            task_id=popped.id,
            agent=popped.meta.agent,
            attempt=popped.meta.attempts,
            workflow_id=popped.meta.workflow_id,
            backend=self.backend,
        )


class Child:
    """Takes tasks from one queue and runs them until told to drain, or until it ran its share."""

    def __init__(self, settings: Settings, queue: str, name: str, channel: Channel) -> None:
        self._settings = settings
        self._channel = channel
        redis = connect(settings, retries=0)
        self._journal = Journal(redis, settings)
        self._ledger = Ledger(RqWorker(redis, queue, name, settings), self._journal)
        modules = agent_modules(settings.agent_modules, faults=settings.fault_agents)
        self._agents = AgentRegistry(modules)
        broker = Broker(connect(settings))
        counters = ForwardedCounters(channel)
        self._submitter = Submitter(broker, self._agents, settings, counters, self._journal)
        self._reader = TaskReader(broker)
        control = TaskControl(broker, settings, counters, self._journal)
        self._agents.add(WorkflowRunner(self._submitter, control, load_workflows(modules), settings).coordinator())
        self._writer = JournalWriter(broker.redis, self._journal)
        self._interrupts = Interrupts()
        self._running: dict[str, Running] = {}
        self._free = threading.BoundedSemaphore(settings.worker_async_tasks)
        self._gate = threading.Condition()
        self._suspended = False
        self._draining = False
        self._taken = 0
        self._loop = uvloop.new_event_loop()
        self._loop.set_task_factory(meter_task_factory)

    def run(self) -> None:
        """Work until there is a reason to leave."""
        add_sink(self._keep_line)
        threading.Thread(target=self._loop.run_forever, name="async-agents", daemon=True).start()
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()
        self._channel.send(Ready())
        while not self._draining and self._taken < self._settings.worker_recycle_tasks:
            if self._wait_while_suspended() and self._free.acquire(timeout=POP_SECONDS):
                self._take_one()
        for _ in range(self._settings.worker_async_tasks):
            self._free.acquire()  # each async task gives its slot back at its end
        self._leave()

    def _leave(self) -> None:
        if TaskJob.callbacks:
            TaskJob.callbacks.close()
        self._writer.close(FLUSH_SECONDS)
        shutdown_tracing(FLUSH_SECONDS)
        self._channel.send(Leaving())

    def _wait_while_suspended(self) -> bool:
        """Return whether a task may be taken now."""
        with self._gate:
            if self._suspended and not self._draining:
                self._gate.wait(POP_SECONDS)
            return not self._suspended and not self._draining

    def _take_one(self) -> None:
        """Take and run a task, or hand it to the event loop; gives the slot back unless the loop will."""
        handed_over = False
        try:
            running = self._start_next()
            if running is not None:
                self._taken += 1
                definition = running.attempt.definition
                if definition is not None and definition.is_async:
                    asyncio.run_coroutine_threadsafe(self._run_async(running), self._loop)
                    handed_over = True
                else:
                    self._run_sync(running)
        except RedisError as error:
            self._wait_for_redis(error)
        finally:
            if not handed_over:
                self._free.release()

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

    def _start_next(self) -> Running | None:
        """Pop a task and write down that it runs."""
        popped = self._ledger.pop(None)
        if popped is None:
            if not self._running:
                self._ledger.rest()
            popped = self._ledger.pop(POP_SECONDS)
        if popped is None:
            return None
        if self._suspended or self._draining:  # said while the child waited for a task
            self._ledger.give_back(popped)
            return None
        definition = self._agents[popped.agent] if popped.agent and popped.agent in self._agents else None
        attempt = Attempt.begin(popped, definition)
        started = self._ledger.start(popped)
        if started is None:
            return None
        meta = popped.meta
        backend = TaskBackend(popped.id, meta.workflow_id, self._submitter, self._reader, self._writer)
        meter = ResourceMeter(by_steps=definition is not None and definition.is_async)
        running = Running(attempt, started, backend, meter, time.monotonic())
        self._running[started.execution_id] = running
        self._channel.send(
            Started(
                execution_id=started.execution_id,
                task_id=popped.id,
                agent=meta.agent,
                agent_id=attempt.log_context.agent_id,
                workflow_id=meta.workflow_id,
                attempt=meta.attempts,
                timeout=popped.timeout,
                started_at=attempt.started_at.timestamp(),
                waited=max(0.0, (attempt.started_at - popped.ready_at).total_seconds()),
                submitted_at=meta.submitted_at.timestamp(),
                traceparent=attempt.traceparent,
                parent=meta.traceparent,
            )
        )
        return running

    def _run_sync(self, running: Running) -> None:
        """Run a sync agent here, and write down its end."""
        result: dict[str, Any] | None = None
        failure: BaseException | None = None
        running.meter.start()
        try:
            with running.attempt.observed():
                payload = running.attempt.read_input()
                with self._interrupts.armed(running.started.execution_id, running.attempt.popped.timeout):
                    outcome = _definition(running).invoke(payload, running.context)
                result = running.attempt.check_result(outcome)
        except BaseException as error:  # noqa: BLE001 - whatever an agent raises is how its task ended
            failure = error
        self._settle(running, running.meter.stop(), result, failure)

    async def _run_async(self, running: Running) -> None:
        """Run an async agent in the event loop, write down its end, and give its slot back."""
        result: dict[str, Any] | None = None
        failure: BaseException | None = None
        running.loop_task = asyncio.current_task()
        running.meter.start()
        try:
            with running.attempt.observed():
                result = running.attempt.check_result(await self._await_agent(running))
        except BaseException as error:  # noqa: BLE001 - whatever an agent raises is how its task ended
            failure = error
        running.loop_task = None
        try:
            await asyncio.to_thread(self._settle, running, running.meter.stop(), result, failure)
        except Exception:
            logger.exception("the end of task %s is not written", running.attempt.popped.id)
        finally:
            self._free.release()

    async def _await_agent(self, running: Running) -> object:
        """Await the agent, and tell its deadline and a request to stop apart."""
        popped = running.attempt.popped
        payload = running.attempt.read_input()
        current_meter.set(running.meter)
        call = _definition(running).invoke(payload, running.context)
        if not isinstance(call, Coroutine):
            raise TypeError(f"agent {popped.meta.agent!r} gave no coroutine")
        try:
            async with asyncio.timeout(popped.timeout) as deadline:
                return await MeteredCoroutine(call, running.meter)
        except TimeoutError:
            if deadline.expired():
                raise TaskTimeoutError(popped.timeout) from None
            raise
        except asyncio.CancelledError:
            if running.backend.is_canceled():
                raise TaskStoppedError from None
            raise

    def _settle(
        self, running: Running, use: ResourceUse, result: dict[str, Any] | None, failure: BaseException | None
    ) -> None:
        """Write down how a run ended, and tell the supervisor."""
        seconds = time.monotonic() - running.began
        execution_id = running.started.execution_id
        try:
            outcome, error = self._write_end(running, seconds, result, failure)
        except RedisError as away:
            logger.error("the end of task %s is not written: %s", running.attempt.popped.id, away)
            self._channel.send(GivenUp(execution_id))
        else:
            running.attempt.end(outcome, error)
            self._tell_end(running, use, seconds, outcome, error)
        finally:
            self._running.pop(execution_id, None)

    def _write_end(
        self, running: Running, seconds: float, result: dict[str, Any] | None, failure: BaseException | None
    ) -> tuple[Outcome, TaskError | None]:
        if failure is not None:
            outcome, error = classify(failure)
            return self._ledger.fail(running.started, error, outcome), error
        self._ledger.finish(running.started, result or {})
        with running.attempt.logged():
            logger.info("task finished", extra={"seconds": round(seconds, 6), "attempt": running.started.meta.attempts})
        return Outcome.SUCCESS, None

    def _tell_end(
        self, running: Running, use: ResourceUse, seconds: float, outcome: Outcome, error: TaskError | None
    ) -> None:
        self._channel.send(
            Ended(
                execution_id=running.started.execution_id,
                outcome=outcome.value,
                seconds=seconds,
                ended_at=datetime.now(UTC).timestamp(),
                error_type=error.type if error else None,
                cpu_seconds=use.cpu_seconds,
                read_bytes=use.read_bytes,
                write_bytes=use.write_bytes,
                peak_memory_bytes=use.peak_memory_bytes,
            )
        )

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
                self._stop(execution_id)
            case Suspend(suspended):
                with self._gate:
                    self._suspended = suspended
                    self._gate.notify_all()
                logger.info("child %s", "stops taking tasks" if suspended else "takes tasks again")
            case Drain():
                with self._gate:
                    self._draining = True
                    self._gate.notify_all()

    def _stop(self, execution_id: str) -> None:
        running = self._running.get(execution_id)
        if running is None:
            return
        running.backend.cancel()
        loop_task = running.loop_task
        if loop_task is not None:
            self._loop.call_soon_threadsafe(loop_task.cancel)
        else:
            self._interrupts.stop(execution_id)


def _definition(running: Running) -> Any:
    if running.attempt.definition is None:
        raise LookupError(running.attempt.popped.meta.agent)
    return running.attempt.definition


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
