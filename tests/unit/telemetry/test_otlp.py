"""Spans are written as the library writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from agent_service.telemetry.otlp import encode

RESOURCE = Resource({"service.name": "agent-worker", "process.pid": 7})
SCOPE = InstrumentationScope("agents", "1")
SAMPLED = TraceFlags(TraceFlags.SAMPLED)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
attributes = st.dictionaries(
    texts.filter(bool), st.one_of(texts, st.booleans(), st.integers(-(2**63), 2**63 - 1)), max_size=8
)
contexts = st.builds(
    SpanContext, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans(), st.just(SAMPLED)
)
statuses = st.one_of(st.just(Status()), st.builds(Status, st.just(StatusCode.ERROR), texts))
spans = st.builds(
    ReadableSpan,
    name=texts,
    context=contexts,
    parent=st.one_of(st.none(), contexts),
    resource=st.just(RESOURCE),
    attributes=attributes,
    kind=st.sampled_from(SpanKind),
    status=statuses,
    start_time=st.integers(0, 2**63),
    end_time=st.integers(0, 2**63),
    instrumentation_scope=st.just(SCOPE),
)


def read(data):
    """Return every span with its resource and scope, by its id."""
    request = ExportTraceServiceRequest.FromString(data)
    return {
        (span.trace_id, span.span_id): (str(of_resource.resource), str(of_scope.scope), str(span))
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    }


def theirs(batch):
    return read(encode_spans(batch).SerializeToString())


@given(st.lists(spans, max_size=5))
def test_a_batch_reads_as_the_librarys(batch):
    assert read(encode(batch)) == theirs(batch)


def a_span(span_id, **options):
    options = {"resource": RESOURCE, "instrumentation_scope": SCOPE, "start_time": 1, "end_time": 2, **options}
    state = options.pop("state", None)
    return ReadableSpan(
        "s", SpanContext(1, span_id, is_remote=False, trace_flags=SAMPLED, trace_state=state), **options
    )


OTHER = SpanContext(5, 6, is_remote=True, trace_flags=SAMPLED)
UNUSUAL = {
    "an event": {"events": [Event("exception", {"a": 1}, 3)]},
    "a link": {"links": [Link(OTHER, {"b": "c"})]},
    "a trace state": {"state": TraceState([("vendor", "x")])},
    "a list": {"attributes": {"words": ["a", "b"]}},
    "a fraction": {"attributes": {"coverage": 0.5}},
    "another scope": {"instrumentation_scope": InstrumentationScope("other")},
    "no scope": {"instrumentation_scope": None},
    "another resource": {"resource": Resource({"service.name": "agent-api"})},
}


@pytest.mark.parametrize("what", UNUSUAL, ids=str)
def test_spans_with_anything_unusual_go_with_the_others(what):
    batch = [a_span(1), a_span(2, **UNUSUAL[what]), a_span(3)]
    assert read(encode(batch)) == theirs(batch)


def test_a_text_that_utf_8_cannot_say_costs_no_span():
    batch = [a_span(1, attributes={"a": "\ud800"}), a_span(2)]
    assert {span_id for _, span_id in read(encode(batch))} == {(1).to_bytes(8, "big"), (2).to_bytes(8, "big")}
