"""Keeps an open page up to date: server-sent events with its changed part, twice a second at most.

However many tasks run, a browser gets what one page shows and nothing else, so neither side's memory grows. A page that
is costly to make is made less often.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import orjson
from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from redis.exceptions import RedisError

from agent_service.api.console.console import Console, console_of
from agent_service.api.console.points import FIELDS, Point, rows
from agent_service.api.console.rendering import Page, live_part
from agent_service.api.console.routing import (
    SINCE_FIELD,
    Look,
    PageRouter,
    SignInNeededError,
    View,
    live_path,
    look_at,
    session_of,
    shell_of,
)
from agent_service.tasks.errors import TaskServiceError

logger = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.5
SLOWEST_SECONDS: Final = 10.0
REST: Final = 8.0
"""How many times the processor time that a page took it is left alone afterwards, which bounds what a browser costs."""
SESSION_SECONDS: Final = 30.0
FOLLOWERS: Final = 200
_LINE_ENDS: Final = re.compile(r"\r\n|\r|\n")


class EventStream(StreamingResponse):
    """Server-sent events, which no proxy keeps back."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


def add_live(router: PageRouter, path: str, view: View) -> None:
    """Let the page of a path be followed."""

    async def follow(request: Request) -> Response:
        try:
            session = await run_in_threadpool(session_of, request)
        except SignInNeededError:
            return Response("sign in first\n", 401, media_type="text/plain")
        console = console_of(request)
        if console.followers >= FOLLOWERS:
            return Response("too many pages are open\n", 503, {"Retry-After": "10"}, media_type="text/plain")
        return EventStream(_Follower(request, look_at(request, session), view).events())

    router.add_api_route(live_path(path), follow, methods=["GET"], name=f"follow {path}", response_model=None)


class _Follower:
    """One browser that looks at one page."""

    def __init__(self, request: Request, look: Look, view: View) -> None:
        self._request = request
        self._look = look
        self._view = view
        self._sent = ""
        self._since = _number(request.query_params.get(SINCE_FIELD))
        self._session_at = time.monotonic()
        self._began = False

    async def events(self) -> AsyncIterator[bytes]:
        """Yield what happens to the page until the browser, the session or the service is gone."""
        closing = self._look.services.closing
        with _counted(self._look.console):
            while not closing.is_set():
                try:
                    events, cost = await run_in_threadpool(self._metered_tick)
                    for event in events:
                        yield event
                except SignInNeededError:
                    yield _event("over", "signed out")
                    return
                yield _event("beat", time.strftime("%H:%M:%S", time.gmtime()))
                wait = min(SLOWEST_SECONDS, max(TICK_SECONDS, REST * cost))
                try:
                    async with asyncio.timeout(wait):
                        await closing.wait()
                except TimeoutError:
                    continue

    def _metered_tick(self) -> tuple[list[bytes], float]:
        """Return what is to be told and the processor time it took; a crowded machine is no reason to say less."""
        began = time.thread_time()
        return self._tick(), time.thread_time() - began

    def _tick(self) -> list[bytes]:
        """Return what is to be told at this moment."""
        self._look.console.monitor.watch()
        try:
            self._check_session()
            page = self._view(self._look)
            part = live_part(page, {**shell_of(self._look), "notice": None})
        except RedisError:
            return [_event("trouble", "The queue server does not answer. What you see is how things were before.")]
        except TaskServiceError as error:  # such as a task whose time is over
            return [_event("trouble", f"This page cannot be brought up to date: {error}")]
        events = list(self._new_points(page))
        if part != self._sent:
            self._sent = part
            events.append(_event("page", part))
        return events

    def _check_session(self) -> None:
        if time.monotonic() - self._session_at >= SESSION_SECONDS:
            self._session_at = time.monotonic()
            session_of(self._request)

    def _new_points(self, page: Page) -> Iterator[bytes]:
        if page.charted is None:
            return
        begin, end = page.charted
        history = self._look.console.history
        if self._began:
            points = history.since(self._since or begin)
        else:
            points = history.between(max(begin, self._since or begin), end or time.time())
            self._began = True
        yield from self._tell(points, end)

    def _tell(self, points: list[Point], end: float | None) -> Iterator[bytes]:
        wanted = [point for point in points if end is None or point.at <= end]
        if wanted:
            self._since = wanted[-1].at
            data = orjson.dumps({"fields": FIELDS, "rows": rows(wanted)}).decode()
            yield _event("points", data)


@contextmanager
def _counted(console: Console) -> Iterator[None]:
    with console.lock:
        console.followers += 1
    try:
        yield
    finally:
        with console.lock:
            console.followers -= 1


def _event(name: str, data: str) -> bytes:
    """Return one event as it goes over the line; every end of a line in the data begins a new field."""
    return (f"event: {name}\n" + "".join(f"data: {line}\n" for line in _LINE_ENDS.split(data)) + "\n").encode()


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
