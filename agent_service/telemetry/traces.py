"""Traces by OpenTelemetry, set up through its distro so that every standard OTEL_ variable applies."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.distro import OpenTelemetryConfigurator, OpenTelemetryDistro
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agent_service.telemetry.contract import ServiceName
from agent_service.telemetry.otlp import EncodedSpan, FastSpanExporter, encode

logger = logging.getLogger(__name__)

TRACES_EXPORTER = "OTEL_TRACES_EXPORTER"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
USUAL_EXPORT = (
    (TRACES_EXPORTER, "otlp"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
)
"""What spans are exported by where nobody says otherwise; for that there is an exporter of our own."""
SINK_DELAY_MILLISECONDS = 200

_propagator = TraceContextTextMapPropagator()
_RECORDED = InstrumentationScope(__name__)
_configured = threading.Event()
_senders: list[BatchSpanProcessor] = []
_sinks: list[BatchSpanProcessor] = []


def configure_tracing(
    service: ServiceName,
    *,
    instance: str | None = None,
    exporters: Sequence[SpanExporter] = (),
    relay: Callable[[bytes], None] | None = None,
) -> None:
    """Set up tracing for this process, once.

    Without an endpoint in the environment spans are made, so that trace ids exist, and go to `exporters` only.

    Args:
        service: Which kind of process this is; it becomes `service.name`.
        instance: Which one of its kind; it becomes `service.instance.id`, by which Jaeger counts spans.
            None makes one up for this process.
        exporters: Where spans go besides the OTLP endpoint.
        relay: Takes each span as OTLP, to be passed to `forward_spans` of another process that sends it in this one's
            stead; not called where the environment asks for another exporter than OTLP over HTTP.
    """
    if _configured.is_set():
        return
    _configured.set()
    has_endpoint = any(os.environ.get(name) for name in ENDPOINTS)
    os.environ["OTEL_SERVICE_NAME"] = service
    is_ours = has_endpoint and not any(os.environ.get(name) not in (None, "", usual) for name, usual in USUAL_EXPORT)
    inherited = os.environ.pop(TRACES_EXPORTER, "")
    usual = "otlp" if has_endpoint else "none"
    os.environ[TRACES_EXPORTER] = "none" if is_ours else inherited or usual
    _default("OTEL_METRICS_EXPORTER", "none")
    _default("OTEL_LOGS_EXPORTER", "none")
    _default("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    resource = {
        "service.version": version("agent-service"),
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
    }
    if instance:
        resource["service.instance.id"] = instance
    OpenTelemetryDistro().configure()
    OpenTelemetryConfigurator().configure(resource_attributes=resource)
    os.environ[TRACES_EXPORTER] = inherited  # which processes that this one starts read as well
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        if is_ours and relay is not None:
            provider.add_span_processor(_SpanRelay(relay))
        elif is_ours:
            sender = BatchSpanProcessor(FastSpanExporter())
            _senders.append(sender)
            provider.add_span_processor(sender)
        for exporter in exporters:
            sink = BatchSpanProcessor(exporter, schedule_delay_millis=SINK_DELAY_MILLISECONDS)
            provider.add_span_processor(sink)
            _sinks.append(sink)


def _default(variable: str, value: str) -> None:
    """Set an environment variable that is unset or empty, which is the same to OpenTelemetry.

    Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#parsing-empty-value
    """
    if not os.environ.get(variable):
        os.environ[variable] = value


def forward_spans(encoded: bytes) -> None:
    """Export spans that another process has relayed."""
    for sender in _senders:
        sender.on_end(EncodedSpan(encoded))


def shutdown_tracing(seconds: float) -> None:
    """Export what is left, for at most `seconds`, whatever state the endpoint is in."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        return
    # The provider ends its processors one after the other, and an exporter waits between its own retries: the sinks
    # must not wait for an endpoint that is away. A thread that is left behind ends with the process.
    ends = [provider.shutdown, *(sink.shutdown for sink in _sinks)]
    threads = [threading.Thread(target=end, name="flush-traces", daemon=True) for end in ends]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def current_trace_id() -> str | None:
    """Return the trace of the current span, 32 hexadecimal digits, or None outside of any."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def traceparent_of(context: SpanContext) -> str:
    """Return the `traceparent` that names a span, or an empty text for none.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}" if context.is_valid else ""


def inject() -> dict[str, str]:
    """Return the W3C headers of the current span's context."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier


def extract(carrier: dict[str, str]) -> Context:
    """Return the context that W3C headers carry, and nothing else of the current one.

    Source: https://www.w3.org/TR/trace-context/
    """
    return _propagator.extract(carrier, context=Context())


def reserve_span(name: str, kind: SpanKind, parent: Context) -> SpanContext:
    """Return the context of a span that some other process will record, under the id that is given here.

    Args:
        name: Its name, for the sampler.
        kind: Its kind, likewise.
        parent: What `extract` gave.
    """
    above = trace.get_current_span(parent).get_span_context()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        return above
    trace_id = above.trace_id if above.is_valid else provider.id_generator.generate_trace_id()
    sampled = provider.sampler.should_sample(parent, trace_id, name, kind)
    flags = TraceFlags.SAMPLED if sampled.decision.is_sampled() else TraceFlags.DEFAULT
    span_id = provider.id_generator.generate_span_id()
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(flags), trace_state=above.trace_state)


def record_span(
    name: str,
    kind: SpanKind,
    context: SpanContext,
    parent: SpanContext | None,
    times: tuple[float, float],
    attributes: Mapping[str, str | int],
    *,
    links: Sequence[Link] = (),
    error: str | None = None,
) -> None:
    """Export a span whose context `reserve_span` gave, maybe in another process.

    Args:
        name: Its name.
        kind: Its kind.
        context: Its context.
        parent: The context of the one above.
        times: When it began and ended, in Unix seconds.
        attributes: Its attributes.
        links: Its links.
        error: What went wrong; None where nothing did.
    """
    provider = trace.get_tracer_provider()
    if not context.trace_flags.sampled or not isinstance(provider, TracerProvider):
        return
    span = ReadableSpan(
        name=name,
        context=context,
        parent=parent,
        resource=provider.resource,
        attributes=attributes,
        links=links,
        kind=kind,
        status=Status(StatusCode.ERROR, error) if error is not None else Status(),
        start_time=round(times[0] * 1e9),
        end_time=round(times[1] * 1e9),
        instrumentation_scope=_RECORDED,
    )
    # The API has no way to give a span an id that exists already; its processors take any finished span.
    provider._active_span_processor.on_end(span)  # noqa: SLF001


def span_context_of(traceparent: str) -> SpanContext | None:
    """Return the span context that a `traceparent` names, or None where it names none."""
    context = trace.get_current_span(extract({"traceparent": traceparent})).get_span_context()
    return context if context.is_valid else None


class _SpanRelay(SpanProcessor):
    """Hands each span on as soon as it ends, so that it does not die with the process."""

    def __init__(self, relay: Callable[[bytes], None]) -> None:
        self._relay = relay

    def on_end(self, span: ReadableSpan) -> None:
        """Hand a span on."""
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return
        try:
            self._relay(encode([span]))
        except OSError:  # the other process is gone, and this one soon will be
            logger.debug("a span is lost")


class SpanSink(SpanExporter):
    """Hands finished spans to a function, as plain data."""

    def __init__(self, write: Callable[[list[dict[str, Any]]], None]) -> None:
        self._write = write
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write a batch; one that cannot be written is lost, and said so once per outage."""
        try:
            self._write([_to_dict(span) for span in spans])
        except Exception as error:  # noqa: BLE001 - tracing must never break what it traces
            if not self._failing:
                logger.warning("spans are lost: %s", error)
            self._failing = True
            return SpanExportResult.FAILURE
        self._failing = False
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing: the function is its owner's to close."""


def _to_dict(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    statuses = {StatusCode.OK: "ok", StatusCode.ERROR: "error"}
    return {
        "trace_id": f"{context.trace_id:032x}" if context else "",
        "span_id": f"{context.span_id:016x}" if context else "",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "name": _plain(span.name),
        "service": str(span.resource.attributes.get("service.name", "")),
        "kind": span.kind.name.lower(),
        "start": (span.start_time or 0) / 1e9,
        "end": (span.end_time or 0) / 1e9,
        "status": statuses.get(span.status.status_code, "unset"),
        "attributes": {str(key): _plain(value) for key, value in (span.attributes or {}).items()},
        "links": [f"{link.context.span_id:016x}" for link in span.links],
    }


def _plain(value: object) -> object:
    """Return an attribute's value as JSON can say it, so that one span's does not cost its whole batch."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**63 else str(value)
    return [_plain(item) for item in value] if isinstance(value, Sequence) else value
