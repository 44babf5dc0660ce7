"""What happens to every request, whatever its route: it is measured, limited in size, and answered, safely.

Plain ASGI: Starlette's own base class for middleware costs more than all of this together.
"""

from __future__ import annotations

import logging
import time
from typing import Final
from urllib.parse import quote

from opentelemetry import trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_service.api import problems
from agent_service.api.problems import SECURITY_HEADERS, ProblemError, answer
from agent_service.telemetry import contract
from agent_service.telemetry.metrics import Metrics
from agent_service.telemetry.traces import current_trace_id

logger = logging.getLogger(__name__)

UNMATCHED: Final = "unmatched"
"""The route of a request that no route took; its path would make a time series for every guess of a stranger."""
_METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_EVENT_STREAM: Final = "text/event-stream"


class RequestMetrics:
    """Observes how long every request took, by method, route and status.

    An event stream lasts as long as its task does, so it is measured up to its start.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and observe how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500  # what an error that nobody foresaw is answered with, further out
        ended: float | None = None

        async def watch(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                if Headers(raw=message["headers"]).get("content-type", "").startswith(_EVENT_STREAM):
                    ended = time.perf_counter()
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            self._observe(scope, status, (ended or time.perf_counter()) - started)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"]
        route = scope.get("route")
        self._metrics.observe(
            contract.HTTP_DURATION,
            seconds,
            trace_id=current_trace_id(),
            http_request_method=method if method in contract.METHODS else contract.OTHER_METHOD,
            http_route=getattr(route, "path", UNMATCHED),
            http_response_status_code=str(status),
        )


class SecurityHeaders:
    """Adds the headers of `SECURITY_HEADERS` to every answer that does not bring its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and see to the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, add)


class UnforeseenErrors:
    """Answers an error that nobody foresaw, and logs it while its span is still the current one.

    Left to the server it would be logged without the trace by which the answer says that it can be found.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and answer for what goes wrong."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            if begun:
                raise
            request = Request(scope)
            logger.exception("a request failed: %s %s", scope["method"], quote(request.url.path, errors="replace"))
            trace.get_current_span().record_exception(error)
            response = await answer(request, error)
            await response(scope, receive, send)


class BodyLimit:
    """Refuses bodies over a limit: by their announced length before anything is read, else by what has arrived."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        """Wrap an application.

        Args:
            app: The application.
            limit: Longest body in bytes.
        """
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and count what is read."""
        if scope["type"] != "http" or scope["method"] not in _METHODS_WITH_BODY:
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        arrived = 0

        async def read() -> Message:
            # Raised where the route reads the body, so that the refusal is answered, measured and traced as any other.
            nonlocal arrived
            self._check(int(announced) if announced.isdecimal() else 0)
            message = await receive()
            arrived += len(message.get("body", b""))
            self._check(arrived)
            return message

        await self._app(scope, read, send)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise ProblemError(problems.BODY_TOO_LARGE, f"the body is longer than {self._limit} bytes")
