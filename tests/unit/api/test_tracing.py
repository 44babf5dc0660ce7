"""The span around a request says what the conventions for HTTP want to know."""

import asyncio
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from agent_service.api import tracing
from agent_service.api.tracing import RequestSpans

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture
def spans(monkeypatch):
    """What was exported, in order."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing.trace, "get_tracer", provider.get_tracer)
    return exporter.get_finished_spans


def serve(app, *, method="GET", path="/tasks/1", headers=(), query=b""):
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message):
        pass

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": list(headers),
        "scheme": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
    }
    asyncio.run(RequestSpans(app)(scope, receive, send))


def answer(status=200, route="/tasks/{task_id}"):
    async def app(scope, _receive, send):
        if route:
            scope["route"] = SimpleNamespace(path=route)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


def test_a_span_has_the_route_for_a_name_and_the_conventions_attributes(spans):
    serve(answer(), headers=[(b"user-agent", b"curl/8")], query=b"a=b")

    (span,) = spans()
    assert span.name == "GET /tasks/{task_id}"
    assert span.kind is SpanKind.SERVER
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "http.route": "/tasks/{task_id}",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/tasks/1",
        "url.query": "a=b",
        "user_agent.original": "curl/8",
        "server.address": "127.0.0.1",
        "server.port": 8000,
        "client.address": "127.0.0.1",
        "client.port": 50000,
        "network.protocol.version": "1.1",
    }
    assert span.status.status_code is StatusCode.UNSET


def test_it_continues_the_trace_of_the_caller(spans):
    serve(answer(), headers=[(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())])

    (span,) = spans()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT


@pytest.mark.parametrize("broken", [b"", b"00-zz", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01", b"\xff"])
def test_a_broken_traceparent_starts_a_trace_of_its_own(spans, broken):
    serve(answer(), headers=[(b"traceparent", broken)])

    (span,) = spans()
    assert span.parent is None


def test_a_request_that_no_route_took_has_no_path_in_its_name(spans):
    serve(answer(404, route=None), path="/guess/1234")

    (span,) = spans()
    assert span.name == "GET"
    assert "http.route" not in span.attributes
    assert span.status.status_code is StatusCode.UNSET


def test_a_strangers_own_method_is_kept_beside_the_name(spans):
    serve(answer(405), method="BREW")

    (span,) = spans()
    assert span.name.startswith("HTTP")
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "BREW"


def test_the_servers_own_fault_is_an_error(spans):
    serve(answer(503))

    (span,) = spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "503"


def test_an_error_that_nobody_caught_is_on_the_span(spans):
    async def broken(_scope, _receive, _send):
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError):
        serve(broken)

    (span,) = spans()
    assert span.attributes["http.response.status_code"] == 500
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/tasks/1/events"])
def test_probes_and_event_streams_have_no_span(spans, path):
    serve(answer(), path=path)

    assert spans() == ()


def test_what_only_looks_like_a_probe_has_one(spans):
    serve(answer(), path="/healthz/more")

    assert len(spans()) == 1
