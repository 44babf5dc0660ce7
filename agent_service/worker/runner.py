"""Runs tasks inside the child: calls the agent, in the main thread or in the event loop, and measures it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from agent_service.agents import AgentRegistry, Context
from agent_service.tasks.journal import JournalWriter
from agent_service.tasks.ledger import StartedTask
from agent_service.tasks.queries import TaskReader
from agent_service.tasks.submission import Submitter
from agent_service.telemetry.resources import ResourceMeter, ResourceUse, current_meter
from agent_service.worker.attempt import Attempt
from agent_service.worker.backend import TaskBackend
from agent_service.worker.interrupts import Interrupts, TaskStoppedError, TaskTimeoutError
from agent_service.worker.protocol import Channel, Started


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

    def cancel(self) -> None:
        """Cancel an async agent that still runs; call it in its event loop."""
        if self.loop_task is not None:
            self.loop_task.cancel()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        running: The run.
        use: What it used.
        seconds: How long it took.
        result: What its agent returned, as JSON data.
        failure: What was raised instead.
    """

    running: Running
    use: ResourceUse
    seconds: float
    result: dict[str, Any] | None
    failure: BaseException | None

    @property
    def is_usual(self) -> bool:
        """Whether it is a success, and writing down its result is all there is to do."""
        return self.failure is None and self.running.started.is_usual

    @classmethod
    def of(cls, running: Running, result: dict[str, Any] | None, failure: BaseException | None) -> Ending:
        """Stop the meter and the clock of a run."""
        return cls(running, running.meter.stop(), time.monotonic() - running.began, result, failure)


class Runner:
    """Runs tasks that were taken from the queue."""

    def __init__(
        self,
        agents: AgentRegistry,
        channel: Channel,
        submitter: Submitter,
        writer: JournalWriter,
        make_meter: Callable[[bool], ResourceMeter],
    ) -> None:
        self._agents = agents
        self._channel = channel
        self._submitter = submitter
        self._reader = TaskReader(submitter.broker)
        self._writer = writer
        self._make_meter = make_meter
        self._interrupts = Interrupts()
        self._running: dict[str, Running] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no task runs."""
        return not self._running

    def runs_in_loop(self, started: StartedTask) -> bool:
        """Return whether a task's agent is async, and so may run beside others."""
        definition = self._agents.get(started.agent) if started.agent else None
        return definition is not None and definition.is_async

    def begin(self, started: StartedTask) -> Running:
        """Open a run; the supervisor must have been told of it (`Channel.send`) before anything of the agent runs."""
        definition = self._agents.get(started.agent) if started.agent else None
        attempt = Attempt.reserve(started, definition)
        meta = started.meta
        backend = TaskBackend(started.id, meta.workflow_id, self._submitter, self._reader, self._writer)
        meter = self._make_meter(definition is not None and definition.is_async)
        running = Running(attempt, backend, meter, time.monotonic())
        self._running[started.execution_id] = running
        self._channel.keep(
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
                first=started.first_process,
            )
        )
        return running

    def run_here(self, running: Running) -> Ending:
        """Run a sync agent in this thread, which must be the main one."""
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
        return Ending.of(running, result, failure)

    async def run_in_loop(self, running: Running) -> Ending:
        """Run an async agent in this event loop, in a task of its own."""
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
        return Ending.of(running, result, failure)

    def forget(self, running: Running) -> None:
        """Close a run whose end is written down or given up."""
        self._running.pop(running.started.execution_id, None)

    def stop(self, execution_id: str, loop: asyncio.AbstractEventLoop) -> None:
        """Ask a run to end, from another thread."""
        running = self._running.get(execution_id)
        if running is None:
            return
        running.backend.cancel()
        if self.runs_in_loop(running.started):
            loop.call_soon_threadsafe(running.cancel)
        else:
            self._interrupts.stop(execution_id)

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
                return await running.meter.metered(call)
        except TimeoutError:
            if deadline.expired():
                raise TaskTimeoutError(started.timeout) from None
            raise
        except asyncio.CancelledError:
            if running.backend.is_canceled():
                raise TaskStoppedError from None
            raise
