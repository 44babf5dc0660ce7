"""Traces by OpenTelemetry, set up through its distro so that every standard OTEL_ variable applies."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.distro import OpenTelemetryConfigurator, OpenTelemetryDistro
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agent_service.telemetry.contract import ServiceName

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SINK_DELAY_MILLISECONDS = 200

_propagator = TraceContextTextMapPropagator()
_configured = threading.Event()
_sinks: list[BatchSpanProcessor] = []


def configure_tracing(service: ServiceName, *, exporters: Sequence[SpanExporter] = ()) -> None:
    """Set up tracing for this process, once.

    Without an endpoint in the environment spans are made, so that trace ids exist, and go to `exporters` only.

    Args:
        service: Which kind of process this is; it becomes `service.name`.
        exporters: Where spans go besides the OTLP endpoint.
    """
    if _configured.is_set():
        return
    _configured.set()
    has_endpoint = any(os.environ.get(name) for name in ENDPOINTS)
    os.environ["OTEL_SERVICE_NAME"] = service
    _default("OTEL_TRACES_EXPORTER", "otlp" if has_endpoint else "none")
    _default("OTEL_METRICS_EXPORTER", "none")
    _default("OTEL_LOGS_EXPORTER", "none")
    _default("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    resource = {
        "service.version": version("agent-service"),
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
    }
    OpenTelemetryDistro().configure()
    OpenTelemetryConfigurator().configure(resource_attributes=resource)
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
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


def span_context_of(traceparent: str) -> SpanContext | None:
    """Return the span context that a `traceparent` names, or None where it names none."""
    context = trace.get_current_span(extract({"traceparent": traceparent})).get_span_context()
    return context if context.is_valid else None


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
