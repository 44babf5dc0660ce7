"""Tracing as a process sets it up; each test in a process of its own, since OpenTelemetry is set up once."""

import json
import os
import socket
import subprocess
import sys
import time

import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from agent_service.telemetry.traces import SpanSink, extract, span_context_of
from tests.integration.system import TraceReceiver, free_port, wait_until

PROGRAM = """
import json, os, sys, time
from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind
from agent_service.telemetry.contract import Attribute, Operation, ServiceName
from agent_service.telemetry.traces import SpanSink, configure_tracing, current_trace_id, inject, shutdown_tracing

kept = []
configure_tracing(ServiceName.WORKER, exporters=[SpanSink(kept.extend)])
configure_tracing(ServiceName.WORKER)
tracer = trace.get_tracer("test")
with tracer.start_as_current_span("outer", kind=SpanKind.CONSUMER) as outer:
    trace_id, headers = current_trace_id(), inject()
    attributes = {Attribute.OPERATION_NAME: Operation.INVOKE_AGENT}
    with tracer.start_as_current_span("inner", attributes=attributes, links=[Link(outer.get_span_context())]):
        pass
began = time.monotonic()
shutdown_tracing(float(os.environ.get("SHUTDOWN_SECONDS", "2")))
print(json.dumps({"trace_id": trace_id, "headers": headers, "kept": kept, "seconds": time.monotonic() - began}))
"""


def run(**environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout), done.stderr


@pytest.fixture
def receiver():
    made = TraceReceiver()
    yield made
    made.close()


def test_spans_reach_the_endpoint_under_the_services_name(receiver):
    said, _ = run(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    spans = wait_until(lambda: receiver.trace(said["trace_id"]), "the spans arrive")
    assert {(span["name"], span["service"]) for span in spans} == {("outer", "agent-worker"), ("inner", "agent-worker")}


def test_a_sink_gets_the_same_spans_as_plain_data():
    said, errors = run()
    inner, outer = said["kept"]
    assert (inner["name"], inner["parent_id"], inner["links"]) == ("inner", outer["span_id"], [outer["span_id"]])
    assert (outer["kind"], outer["parent_id"], outer["service"]) == ("consumer", None, "agent-worker")
    assert inner["attributes"]["gen_ai.operation.name"] == "invoke_agent"
    assert outer["trace_id"] == said["trace_id"]
    assert outer["start"] <= inner["start"] <= inner["end"] <= outer["end"] <= time.time()
    assert errors == ""


def test_an_endpoint_that_is_away_delays_the_end_by_no_more_than_allowed():
    said, _ = run(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    assert said["seconds"] < 4
    assert len(said["kept"]) == 2


def test_tracing_can_be_switched_off_by_the_standard_variable():
    said, _ = run(OTEL_SDK_DISABLED="true")
    assert said["kept"] == []


def test_a_traceparent_is_read_and_nonsense_is_not():
    context = span_context_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert f"{context.span_id:016x}" == "b7ad6b7169203331"
    assert span_context_of("nonsense") is None
    assert extract({}) == {}


def test_an_endpoint_that_never_answers_costs_the_sinks_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said, _ = run(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}", SHUTDOWN_SECONDS="0.15"
        )
    assert said["seconds"] < 2
    assert len(said["kept"]) == 2


def test_an_empty_variable_is_an_unset_one(receiver):
    said, _ = run(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_TRACES_EXPORTER="", OTEL_EXPORTER_OTLP_PROTOCOL=""
    )
    assert wait_until(lambda: receiver.trace(said["trace_id"]), "the spans arrive")


def test_a_sink_gets_what_json_can_say_whatever_the_attributes_are():
    kept = []
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(SpanSink(kept.extend)))
    odd = {"text": "a\ud800", "big": 2**70, "list": ("b\ud800", "c"), "raw": b"\xff", "fine": 1.5, "yes": True}
    provider.get_tracer("test").start_span("name", attributes=odd).end()
    assert orjson.loads(orjson.dumps(kept))[0]["attributes"] == {
        "text": "a?",
        "big": str(2**70),
        "list": ["b?", "c"],
        "raw": "\ufffd",
        "fine": 1.5,
        "yes": True,
    }


def test_a_sink_that_cannot_write_says_so_once_per_outage(caplog):
    away = [True]

    def write(spans):
        if away[0]:
            raise ConnectionError("Redis is away")

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(SpanSink(write)))
    tracer = provider.get_tracer("test")
    for state in (True, True, False, True):
        away[0] = state
        tracer.start_span("x").end()
    assert caplog.text.count("Redis is away") == 2
