"""What an agent sees of the service while it runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from agent_service.telemetry.contract import Attribute, Operation, execute_tool_span

tracer = trace.get_tracer(__name__)


class TaskCanceledError(Exception):
    """The task was asked to stop while it ran."""


class SubtaskError(Exception):
    """A sub-task that was waited for ended without a result; the message says how it ended."""


class ContextBackend(Protocol):
    """What a context needs from the process that runs the task."""

    def report_progress(self, fraction: float, message: str) -> None:
        """Publish how far the task is."""

    def is_canceled(self) -> bool:
        """Return whether the task was asked to stop."""

    def submit(self, agent: str, payload: Mapping[str, Any]) -> str:
        """Submit a sub-task in the task's trace and return its id."""

    async def result(self, task_id: str, seconds: float) -> dict[str, Any]:
        """Wait for a sub-task's result."""


class Context:
    """The service, as an agent sees it: progress, tools, logging, cancellation and sub-tasks.

    Attributes:
        task_id: The task's id (`task.id` in logs and spans).
        agent: The agent's name.
        attempt: Which run this is, from 1.
        workflow_id: The workflow that the task is a step of, if any.
        log: A logger whose lines carry task, agent and trace; further fields go into `extra`.
    """

    def __init__(
        self, *, task_id: str, agent: str, attempt: int, workflow_id: str | None, backend: ContextBackend
    ) -> None:
        self.task_id = task_id
        self.agent = agent
        self.attempt = attempt
        self.workflow_id = workflow_id
        self.log = logging.getLogger(f"agents.{agent}")
        self._backend = backend

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell the watchers of the task how far it is.

        Args:
            fraction: Share of the work that is done, from 0 to 1.
            message: What is being done, in a few words.

        Raises:
            ValueError: `fraction` is not from 0 to 1.
            TaskCanceledError: The task was asked to stop.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a share from 0 to 1, got {fraction}")
        self.check_canceled()
        self._backend.report_progress(fraction, message)

    @contextmanager
    def tool(self, name: str, **attributes: str | int | float | bool) -> Iterator[Span]:
        """Put an `execute_tool` span around the use of a tool.

        Args:
            name: The tool's name.
            attributes: Further span attributes, such as sizes; never secrets or whole documents.

        Raises:
            TaskCanceledError: The task was asked to stop.
        """
        self.check_canceled()
        with tracer.start_as_current_span(
            execute_tool_span(name),
            kind=SpanKind.INTERNAL,
            attributes={
                Attribute.OPERATION_NAME: Operation.EXECUTE_TOOL,
                Attribute.TOOL_NAME: name,
                Attribute.TOOL_TYPE: "function",
                **attributes,
            },
            record_exception=True,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute(Attribute.ERROR_TYPE, type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR, str(error)))
                raise

    @property
    def canceled(self) -> bool:
        """Whether the task was asked to stop; a long loop looks at it and leaves."""
        return self._backend.is_canceled()

    def check_canceled(self) -> None:
        """Leave when the task was asked to stop.

        Raises:
            TaskCanceledError: It was.
        """
        if self._backend.is_canceled():
            raise TaskCanceledError(f"task {self.task_id} was asked to stop")

    def submit(self, agent: str, payload: Mapping[str, Any]) -> str:
        """Submit a sub-task and go on; it runs on its own, in this task's trace.

        Args:
            agent: The name of the agent that does it.
            payload: Its input, as JSON data.

        Returns:
            The id of the sub-task.
        """
        return self._backend.submit(agent, payload)

    async def run(self, agent: str, payload: Mapping[str, Any], *, within: float = 180.0) -> dict[str, Any]:
        """Submit a sub-task and wait for its result; for async agents, since waiting must not hold a worker.

        Args:
            agent: The name of the agent that does it.
            payload: Its input, as JSON data.
            within: Longest wait in seconds.

        Returns:
            The result of the sub-task, as JSON data.

        Raises:
            SubtaskError: It ended without a result.
            TimeoutError: It did not end in time.
        """
        return await self._backend.result(self.submit(agent, payload), within)
