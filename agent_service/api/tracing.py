"""The SERVER span of every request, by OpenTelemetry's conventions for HTTP.

Own code instead of the contrib instrumentation, which costs several times as much as everything else that surrounds a
request; the names and the content are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_service.telemetry.contract import METHODS, OTHER_METHOD, Attribute
from agent_service.telemetry.traces import extract

UNTRACED: Final = re.compile(r"/(?:healthz|readyz|tasks/[^/]+/events|console/(?:live/.*|static/.*|session))")
"""Probes and static files would drown the rest; a span of an event stream would stay open for as long as that does."""
_CARRIED: Final = {b"traceparent": "traceparent", b"tracestate": "tracestate"}
_UNKNOWN_METHOD_NAME: Final = "HTTP"
_SERVER_ERROR: Final = 500


class RequestSpans:
    """Makes a span of each request, which continues the trace that its `traceparent` names.

    Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tracer = trace.get_tracer(__name__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve inside a span."""
        if scope["type"] != "http" or UNTRACED.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        carrier = {name: headers[raw].decode("latin-1") for raw, name in _CARRIED.items() if raw in headers}
        method = scope["method"] if scope["method"] in METHODS else _UNKNOWN_METHOD_NAME
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._tracer.start_as_current_span(
            method,
            context=extract(carrier) if carrier else None,
            kind=SpanKind.SERVER,
            attributes=dict(_request_attributes(scope, headers)),
        ) as span:
            try:
                await self._app(scope, receive, watch)
            finally:
                _conclude(span, scope, method, status)


def _request_attributes(scope: Scope, headers: dict[bytes, bytes]) -> Iterable[tuple[str, AttributeValue]]:
    method = scope["method"]
    if method in METHODS:
        yield Attribute.HTTP_METHOD, method
    else:
        yield Attribute.HTTP_METHOD, OTHER_METHOD
        yield Attribute.HTTP_METHOD_ORIGINAL, method
    yield Attribute.URL_SCHEME, scope.get("scheme", "http")
    yield Attribute.URL_PATH, scope["path"]
    yield Attribute.PROTOCOL_VERSION, scope.get("http_version", "1.1")
    if scope.get("query_string"):
        yield Attribute.URL_QUERY, scope["query_string"].decode("latin-1")
    if b"user-agent" in headers:
        yield Attribute.USER_AGENT, headers[b"user-agent"].decode("latin-1")
    if scope.get("server"):
        yield Attribute.SERVER_ADDRESS, scope["server"][0]
        yield Attribute.SERVER_PORT, scope["server"][1] or 0
    if scope.get("client"):
        yield Attribute.CLIENT_ADDRESS, scope["client"][0]
        yield Attribute.CLIENT_PORT, scope["client"][1]


def _conclude(span: Span, scope: Scope, method: str, status: int) -> None:
    """Add what is known only once the request was routed and answered; without an answer it is the server's fault."""
    if not span.is_recording():
        return
    route = getattr(scope.get("route"), "path", None)
    if route:
        span.update_name(f"{method} {route}")
        span.set_attribute(Attribute.HTTP_ROUTE, route)
    status = status or _SERVER_ERROR
    span.set_attribute(Attribute.HTTP_STATUS_CODE, status)
    if status >= _SERVER_ERROR:
        span.set_attribute(Attribute.ERROR_TYPE, str(status))
        span.set_status(Status(StatusCode.ERROR))
