"""Writes the span of a run whose process died with it, in that process's stead."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, StatusCode

from agent_service.tasks.models import TaskError
from agent_service.telemetry import contract
from agent_service.telemetry.contract import Attribute, Outcome
from agent_service.telemetry.traces import span_context_of
from agent_service.worker.attempt import process_attributes
from agent_service.worker.protocol import Started


def record_lost_run(told: Started, queue: str, outcome: Outcome, error: TaskError, ended_at: float) -> None:
    """Export the CONSUMER span that the dead child could not, under the id that its own spans name as parent.

    Args:
        told: What the child said when the run began.
        queue: The queue's name.
        outcome: How the run was settled; a success was written, and its span exported, by the child itself.
        error: Why it ended.
        ended_at: Unix time in seconds.
    """
    provider = trace.get_tracer_provider()
    context = span_context_of(told.traceparent)
    if outcome is Outcome.SUCCESS or context is None or not isinstance(provider, TracerProvider):
        return
    span = ReadableSpan(
        name=contract.process_span(queue),
        context=context,
        parent=span_context_of(told.parent) if told.parent else None,
        resource=provider.resource,
        attributes={
            **process_attributes(told.task_id, queue, told.agent, told.workflow_id, told.attempt),
            Attribute.TASK_OUTCOME: outcome.value,
            Attribute.ERROR_TYPE: error.type,
        },
        kind=SpanKind.CONSUMER,
        status=Status(StatusCode.ERROR, error.message),
        start_time=round(told.started_at * 1e9),
        end_time=round(ended_at * 1e9),
        instrumentation_scope=InstrumentationScope(__name__),
    )
    # The API has no way to give a span an id that exists already; its processors take any finished span.
    provider._active_span_processor.on_end(span)  # noqa: SLF001
