"""OpenTelemetry for the queues that have an integration for it; spans go to the endpoint of the environment."""

import os

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

IS_WANTED = bool(os.environ.get("BENCH_WATCHED"))


def provide() -> None:
    """Set up the provider of this process."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
