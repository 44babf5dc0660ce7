"""Runs tasks inside the child: calls the agent, measures it, writes down its end, and tells the supervisor of both."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError

from agent_service.agents import AgentRegistry, Context
from agent_service.tasks.journal import JournalWriter
from agent_service.tasks.ledger import Ledger, StartedTask
from agent_service.tasks.models import TaskError
from agent_service.tasks.queries import TaskReader
from agent_service.tasks.submission import Submitter
from agent_service.telemetry.contract import Outcome
from agent_service.telemetry.resources import MeteredCoroutine, ResourceMeter, ResourceUse, current_meter
from agent_service.worker.attempt import Attempt, classify
from agent_service.worker.backend import TaskBackend
from agent_service.worker.interrupts import Interrupts, TaskStoppedError, TaskTimeoutError
from agent_service.worker.protocol import Channel, Ended, GivenUp, Started

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Running:
    """A task that runs in this child."""

    attempt: Attempt
    backend: TaskBackend
    meter: ResourceMeter
    began: float
    loop_task: asyncio.Task[None] | None = None

    @property
    def started(self) -> StartedTask:
        """The task, as the books know it."""
        return self.attempt.started

    @property
    def context(self) -> Context:
        """What the agent sees."""
        started = self.started
        return Context(
            task_id=started.id,
            agent=started.meta.agent,
            attempt=started.attempt,
            workflow_id=started.meta.workflow_id,
            backend=self.backend,
        )


class Runner:
    """Runs tasks that were taken from the queue: sync agents in the calling thread, async ones in an event loop."""

    def __init__(
        self,
        ledger: Ledger,
        agents: AgentRegistry,
        channel: Channel,
        submitter: Submitter,
        writer: JournalWriter,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._ledger = ledger
        self._agents = agents
        self._channel = channel
        self._submitter = submitter
        self._reader = TaskReader(submitter.broker)
        self._writer = writer
        self._loop = loop
        self._interrupts = Interrupts()
        self._running: dict[str, Running] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no task runs."""
        return not self._running

    def begin(self, started: StartedTask) -> Running:
        """Open a run, and tell the supervisor before anything of the agent runs."""
        definition = self._agents.get(started.agent) if started.agent else None
        attempt = Attempt.begin(started, definition)
        meta = started.meta
        backend = TaskBackend(started.id, meta.workflow_id, self._submitter, self._reader, self._writer)
        meter = ResourceMeter(by_steps=definition is not None and definition.is_async)
        running = Running(attempt, backend, meter, time.monotonic())
        self._running[started.execution_id] = running
        self._channel.send(
            Started(
                execution_id=started.execution_id,
                task_id=started.id,
                agent=meta.agent,
                agent_id=attempt.log_context.agent_id,
                workflow_id=meta.workflow_id,
                attempt=started.attempt,
                timeout=started.timeout,
                started_at=attempt.started_at.timestamp(),
                waited=max(0.0, (attempt.started_at - started.ready_at).total_seconds()),
                submitted_at=meta.submitted_at.timestamp(),
                traceparent=attempt.traceparent,
                parent=meta.traceparent,
            )
        )
        return running

    def run_here(self, running: Running, wants_next: Callable[[], bool]) -> StartedTask | None:
        """Run a sync agent in this thread, which must be the main one, and write down its end.

        Args:
            running: The run.
            wants_next: Asked at the end, whether the next task is to be taken in the same step.

        Returns:
            The next task, where one was taken.
        """
        result: dict[str, Any] | None = None
        failure: BaseException | None = None
        running.meter.start()
        try:
            with running.attempt.observed():
                payload = running.attempt.read_input()
                with self._interrupts.armed(running.started.execution_id, running.started.timeout):
                    outcome = running.attempt.invoke(payload, running.context)
                result = running.attempt.check_result(outcome)
        except BaseException as error:  # noqa: BLE001 - whatever an agent raises is how its task ended
            failure = error
        return self._settle(running, running.meter.stop(), result, failure, wants_next)

    def run_in_loop(self, running: Running, done: Callable[[], None]) -> None:
        """Run an async agent in the event loop, and call `done` from there when its end is written down."""
        asyncio.run_coroutine_threadsafe(self._run_async(running, done), self._loop)

    def stop(self, execution_id: str) -> None:
        """Ask a run to end, from another thread."""
        running = self._running.get(execution_id)
        if running is None:
            return
        running.backend.cancel()
        loop_task = running.loop_task
        if loop_task is not None:
            self._loop.call_soon_threadsafe(loop_task.cancel)
        else:
            self._interrupts.stop(execution_id)

    async def _run_async(self, running: Running, done: Callable[[], None]) -> None:
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
            await asyncio.to_thread(self._settle, running, running.meter.stop(), result, failure, lambda: False)
        except Exception:
            logger.exception("the end of task %s is not written", running.started.id)
        finally:
            done()

    async def _await_agent(self, running: Running) -> object:
        """Await the agent, and tell its deadline and a request to stop apart."""
        started = running.started
        payload = running.attempt.read_input()
        current_meter.set(running.meter)
        call = running.attempt.invoke(payload, running.context)
        if not isinstance(call, Coroutine):
            raise TypeError(f"agent {started.meta.agent!r} gave no coroutine")
        try:
            async with asyncio.timeout(started.timeout) as deadline:
                return await MeteredCoroutine(call, running.meter)
        except TimeoutError:
            if deadline.expired():
                raise TaskTimeoutError(started.timeout) from None
            raise
        except asyncio.CancelledError:
            if running.backend.is_canceled():
                raise TaskStoppedError from None
            raise

    def _settle(
        self,
        running: Running,
        use: ResourceUse,
        result: dict[str, Any] | None,
        failure: BaseException | None,
        wants_next: Callable[[], bool],
    ) -> StartedTask | None:
        """Write down how a run ended, and tell the supervisor."""
        seconds = time.monotonic() - running.began
        execution_id = running.started.execution_id
        outcome, error, following = Outcome.SUCCESS, None, None
        failure = self._call_back(running, result, failure)
        try:
            if failure is None:
                with running.attempt.logged():
                    logger.info(
                        "task finished", extra={"seconds": round(seconds, 6), "attempt": running.started.attempt}
                    )
                following = self._ledger.finish(running.started, result or {}, take_next=wants_next())
            else:
                outcome, error = classify(failure)
                outcome = self._ledger.fail(running.started, error, outcome, running.attempt.traceparent)
        except RedisError as away:
            logger.error("the end of task %s is not written: %s", running.started.id, away)
            self._channel.send(GivenUp(execution_id))
        else:
            running.attempt.end(outcome, error)
            self._tell_end(running, use, seconds, outcome, error)
        finally:
            self._running.pop(execution_id, None)
        return following

    def _call_back(
        self, running: Running, result: dict[str, Any] | None, failure: BaseException | None
    ) -> BaseException | None:
        """Run what RQ's `on_success` or `on_failure` asked for, and return how the run has ended then."""
        if not running.started.job.names_callbacks:
            return failure
        if failure is None:
            failure = self._raised_by(running, lambda: self._ledger.call_success(running.started, result or {}))
        if failure is None or classify(failure)[0] is Outcome.CANCELED:
            return failure
        cause = failure
        return self._raised_by(running, lambda: self._ledger.call_failure(running.started, cause)) or cause

    def _raised_by(self, running: Running, callback: Callable[[], None]) -> BaseException | None:
        with running.attempt.logged():
            try:
                callback()
            except BaseException as error:  # whatever a callback raises is how its task ended
                logger.exception("a callback of the task failed")
                return error
        return None

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
