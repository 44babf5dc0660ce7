"""One run of a task: its spans and log context, the call of the agent, and what came of it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, Status, StatusCode
from pydantic import BaseModel, ValidationError

from agent_service.agents import AgentDefinition, AgentDefinitionError, Context, TaskCanceledError
from agent_service.tasks.ledger import StartedTask
from agent_service.tasks.models import TaskError
from agent_service.telemetry import contract
from agent_service.telemetry.contract import Attribute, Operation, Outcome
from agent_service.telemetry.logs import LogContext, bound
from agent_service.telemetry.traces import extract, reserve_span, span_context_of, traceparent_of
from agent_service.worker.interrupts import TaskStoppedError, TaskTimeoutError
from agent_service.worker.profiling import Profiler

tracer = trace.get_tracer(__name__)
logger = logging.getLogger(__name__)

STACK_LIMIT = 32 * 1024
"""Characters of a stack trace that are kept with the task; the log line has more."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a task.

    Attributes:
        started: The task.
        definition: Its agent, or None where this worker knows none of that name.
        span: The CONSUMER span.
        started_at: When it was taken from its queue.
        profiler: What takes profiles in this process; None where nothing does.
    """

    profiler: ClassVar[Profiler | None] = None

    started: StartedTask
    definition: AgentDefinition[Any, Any] | None
    span: Span
    started_at: datetime

    @classmethod
    def begin(cls, started: StartedTask, definition: AgentDefinition[Any, Any] | None) -> Attempt:
        """Open the CONSUMER span under the PRODUCER's, linked to the first attempt's if there was one."""
        meta = started.meta
        first = span_context_of(started.first_process) if started.first_process else None
        span = tracer.start_span(
            contract.process_span(started.queue),
            context=extract(parent_carrier(meta.traceparent, meta.tracestate)),
            kind=SpanKind.CONSUMER,
            links=[Link(first)] if first else [],
            attributes=process_attributes(started.id, started.queue, meta.agent, meta.workflow_id, started.attempt),
        )
        return cls(started, definition, span, datetime.now(UTC))

    @classmethod
    def reserve(cls, started: StartedTask, definition: AgentDefinition[Any, Any] | None) -> Attempt:
        """Give the CONSUMER span its id; it is recorded by the supervisor, which outlives whatever happens here."""
        meta = started.meta
        parent = extract(parent_carrier(meta.traceparent, meta.tracestate))
        context = reserve_span(contract.process_span(started.queue), SpanKind.CONSUMER, parent)
        return cls(started, definition, NonRecordingSpan(context), datetime.now(UTC))

    @property
    def log_context(self) -> LogContext:
        """What every log line of the run carries."""
        meta = self.started.meta
        return LogContext(
            task_id=self.started.id,
            agent_name=meta.agent,
            agent_id=f"{meta.agent}@{meta.agent_version}",
            workflow_id=meta.workflow_id,
        )

    @property
    def traceparent(self) -> str:
        """W3C context of the CONSUMER span."""
        return traceparent_of(self.span.get_span_context())

    def invoke(self, payload: BaseModel, context: Context) -> object:
        """Call the agent, under a profiler where one is asked for; of an async agent, return its coroutine.

        Raises:
            UnknownAgentHereError: This worker has no such agent.
        """
        definition, meta = self.definition, self.started.meta
        if definition is None:
            raise UnknownAgentHereError(meta.agent)
        if self.profiler is None or not self.profiler.wants(meta):
            return definition.invoke(payload, context)
        return self.profiler.call(self.started.id, meta, definition, partial(definition.invoke, payload, context))

    def read_input(self) -> BaseModel:
        """Return the agent's input.

        Raises:
            UnknownAgentHereError: This worker has no such agent.
            ValidationError: The agent has changed since the task was submitted and refuses the input now.
        """
        if self.definition is None:
            raise UnknownAgentHereError(self.started.meta.agent)
        model: BaseModel = self.definition.input_model.model_validate(self.started.payload)
        return model

    def check_result(self, result: object) -> dict[str, Any]:
        """Return the agent's result as JSON data.

        Raises:
            AgentDefinitionError: The agent returned something else than it said.
        """
        if self.definition is None or not isinstance(result, self.definition.result_model):
            raise AgentDefinitionError(
                f"agent {self.started.meta.agent!r} returned {type(result).__name__}, not what its annotation says"
            )
        data: dict[str, Any] = result.model_dump(mode="json")
        return data

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Let the lines logged inside carry the task and the CONSUMER span."""
        with (
            trace.use_span(self.span, record_exception=False, set_status_on_exception=False),
            bound(self.log_context),
        ):
            yield

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Put the `invoke_agent` span and the log context around the call of the agent."""
        meta = self.started.meta
        attributes: dict[str, str | int] = {
            Attribute.OPERATION_NAME: Operation.INVOKE_AGENT,
            Attribute.AGENT_NAME: meta.agent,
            Attribute.AGENT_ID: self.log_context.agent_id,
            Attribute.AGENT_VERSION: meta.agent_version,
            Attribute.TASK_ID: self.started.id,
        }
        if meta.workflow_id:
            attributes[Attribute.WORKFLOW_ID] = meta.workflow_id
        with (
            self.logged(),
            tracer.start_as_current_span(
                contract.invoke_agent_span(meta.agent),
                attributes=attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
        ):
            try:
                yield
            except BaseException as error:
                outcome, task_error = classify(error)
                span.set_attribute(Attribute.ERROR_TYPE, task_error.type)
                span.set_status(Status(StatusCode.ERROR, task_error.message))
                log_end(outcome, task_error, error)
                raise

    def end(self, outcome: Outcome, error: TaskError | None) -> None:
        """Close the CONSUMER span once the end of the run is written down."""
        end_process_span(self.span, outcome, error)


class UnknownAgentHereError(Exception):
    """This worker has no agent of that name, though the API that took the task had."""

    def __init__(self, name: str) -> None:
        super().__init__(f"this worker has no agent {name!r}; give it the same AGENT_MODULES as the API")


def parent_carrier(traceparent: str | None, tracestate: str | None = None) -> dict[str, str]:
    """Return the W3C carrier of a PRODUCER span's context."""
    carrier = {"traceparent": traceparent, "tracestate": tracestate}
    return {key: value for key, value in carrier.items() if value}


def process_attributes(
    task_id: str, queue: str, agent: str, workflow_id: str | None, attempt: int
) -> dict[str, str | int]:
    """Return the attributes of a CONSUMER span.

    Source: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
    """
    attributes: dict[str, str | int] = {
        Attribute.MESSAGING_SYSTEM: contract.MESSAGING_SYSTEM,
        Attribute.MESSAGING_DESTINATION: queue,
        Attribute.MESSAGING_OPERATION_NAME: "process",
        Attribute.MESSAGING_OPERATION_TYPE: "process",
        Attribute.MESSAGING_MESSAGE_ID: task_id,
        Attribute.TASK_ID: task_id,
        Attribute.AGENT_NAME: agent,
        Attribute.TASK_ATTEMPT: attempt,
    }
    if workflow_id:
        attributes[Attribute.WORKFLOW_ID] = workflow_id
    return attributes


def end_process_span(span: Span, outcome: Outcome, error: TaskError | None) -> None:
    """Write the outcome onto a CONSUMER span and close it."""
    span.set_attribute(Attribute.TASK_OUTCOME, outcome.value)
    if error is not None:
        span.set_attribute(Attribute.ERROR_TYPE, error.type)
        span.set_status(Status(StatusCode.ERROR, error.message))
    span.end()


def classify(error: BaseException) -> tuple[Outcome, TaskError]:
    """Return how a run ended that raised `error`."""
    kinds: Sequence[tuple[type[BaseException], Outcome]] = (
        (TaskTimeoutError, Outcome.TIMEOUT),
        (TaskStoppedError, Outcome.CANCELED),
        (TaskCanceledError, Outcome.CANCELED),
    )
    outcome = next((outcome for kind, outcome in kinds if isinstance(error, kind)), Outcome.FAILURE)
    message = str(error) or type(error).__name__
    if isinstance(error, ValidationError):
        message = f"{error.error_count()} fields do not fit {error.title}: {message}"
    stack = "".join(traceback.format_exception(error))
    if len(stack) > STACK_LIMIT:
        stack = "…" + stack[-STACK_LIMIT:]
    return outcome, TaskError(type=type(error).__qualname__, message=message[:2048], stack_trace=stack)


def log_end(outcome: Outcome, task_error: TaskError, error: BaseException) -> None:
    """Log, inside the run's context, how it ended."""
    if outcome is Outcome.CANCELED:
        logger.warning("task stopped on request")
    else:
        logger.error("task failed: %s", task_error.message, exc_info=error)
