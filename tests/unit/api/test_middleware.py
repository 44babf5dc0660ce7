"""What surrounds every request, around applications of a few lines."""

import asyncio

import pytest

from agent_service.api.middleware import BodyLimit, RequestMetrics, SecurityHeaders, UnforeseenErrors
from agent_service.api.problems import ProblemError


class Observed:
    """Takes the place of the metrics."""

    def __init__(self):
        self.seen = []

    def observe(self, _metric, seconds, **labels):
        del labels["trace_id"]
        self.seen.append((seconds, labels))


async def nothing():
    return {"type": "http.request", "body": b"", "more_body": False}


def call(app, method="GET", headers=(), receive=nothing):
    """Return the messages that an application sends."""
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": "http", "method": method, "path": "/", "headers": list(headers)}, receive, send))
    return sent


def answer(status=200, headers=()):
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b""})

    return app


def labels_of(app, **request):
    observed = Observed()
    call(RequestMetrics(app, observed), **request)
    ((_, labels),) = observed.seen
    return labels


def test_a_request_is_observed_with_its_status():
    assert labels_of(answer(418)) == {
        "http_request_method": "GET",
        "http_route": "unmatched",
        "http_response_status_code": "418",
    }


def test_a_method_of_a_strangers_own_is_other():
    assert labels_of(answer(), method="BREW")["http_request_method"] == "_OTHER"


def test_an_error_that_nobody_caught_counts_as_500():
    async def broken(_scope, _receive, _send):
        raise RuntimeError

    observed = Observed()
    with pytest.raises(RuntimeError):
        call(RequestMetrics(broken, observed))
    assert observed.seen[0][1]["http_response_status_code"] == "500"


def test_an_error_that_nobody_caught_is_answered_and_logged_once(caplog):
    async def broken(_scope, _receive, _send):
        raise RuntimeError("inside")

    app = UnforeseenErrors(broken)
    with caplog.at_level("ERROR"):
        start, body = call(app)
    assert start["status"] == 500
    assert b"inside" not in body["body"]
    (record,) = caplog.records
    assert "inside" in str(record.exc_info[1])


def test_an_error_in_the_middle_of_an_answer_cuts_it():
    async def broken(scope, receive, send):
        await answer()(scope, receive, send)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        call(UnforeseenErrors(broken))


def test_an_event_stream_is_measured_up_to_its_start(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("agent_service.api.middleware.time.perf_counter", lambda: now[0])

    async def stream(_scope, _receive, send):
        now[0] = 0.25
        content_type = (b"content-type", b"text/event-stream; charset=utf-8")
        await send({"type": "http.response.start", "status": 200, "headers": [content_type]})
        now[0] = 3600.0
        await send({"type": "http.response.body", "body": b""})

    observed = Observed()
    call(RequestMetrics(stream, observed))
    assert observed.seen[0][0] == 0.25


def test_headers_that_an_answer_brings_are_kept():
    own = (b"content-security-policy", b"default-src 'self'")
    start, _ = call(SecurityHeaders(answer(headers=[own])))
    headers = dict(start["headers"])
    assert headers[b"content-security-policy"] == b"default-src 'self'"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"cache-control"] == b"no-store"


async def read_all(_scope, receive, send):
    while (await receive())["more_body"]:
        pass
    await answer()(_scope, receive, send)


def body_of(*chunks):
    left = list(chunks)

    async def receive():
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    return receive, left


def test_a_body_within_the_limit_passes():
    receive, _ = body_of(b"12345", b"67890")
    start, _ = call(BodyLimit(read_all, 10), method="POST", receive=receive)
    assert start["status"] == 200


def test_a_body_over_the_limit_is_not_read_on():
    receive, left = body_of(b"12345", b"67890", b"1", b"2")
    with pytest.raises(ProblemError) as refused:
        call(BodyLimit(read_all, 10), method="POST", receive=receive)
    assert refused.value.status_code == 413
    assert left == [b"2"]


def test_a_body_that_says_that_it_is_too_long_is_not_read_at_all():
    receive, left = body_of(b"12345")
    with pytest.raises(ProblemError):
        call(BodyLimit(read_all, 10), method="POST", headers=[(b"content-length", b"11")], receive=receive)
    assert left == [b"12345"]
