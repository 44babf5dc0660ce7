"""The CONSUMER span of a run, which the supervisor exports once the run has ended: also where the child is dead."""

from __future__ import annotations

from opentelemetry.trace import Link, SpanKind

from agent_service.tasks.models import TaskError
from agent_service.telemetry import contract
from agent_service.telemetry.contract import Attribute, Outcome
from agent_service.telemetry.traces import record_span, span_context_of
from agent_service.worker.attempt import process_attributes
from agent_service.worker.protocol import Started


def record_run(told: Started, queue: str, outcome: Outcome, error: TaskError | None, ended_at: float) -> None:
    """Export the span of a run under the id that the spans inside it name as their parent.

    Args:
        told: What the child said when the run began.
        queue: The queue's name.
        outcome: How the run ended.
        error: Why, where it was no success.
        ended_at: Unix time in seconds.
    """
    context = span_context_of(told.traceparent)
    if context is None:
        return
    attributes = process_attributes(told.task_id, queue, told.agent, told.workflow_id, told.attempt)
    attributes[Attribute.TASK_OUTCOME] = outcome.value
    if error is not None:
        attributes[Attribute.ERROR_TYPE] = error.type
    first = span_context_of(told.first) if told.first else None
    record_span(
        contract.process_span(queue),
        SpanKind.CONSUMER,
        context,
        span_context_of(told.parent) if told.parent else None,
        (told.started_at, ended_at),
        attributes,
        links=[Link(first)] if first else [],
        error=error.message if error else None,
    )
