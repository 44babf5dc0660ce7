"""How pages are served: whoever is not signed in is led to the sign-in page, and every error is a page too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

from agent_service.api.console.console import Console, console_of
from agent_service.api.console.forms import CSRF_FIELD, ForeignFormError, Form, check_origin, read_form
from agent_service.api.console.rendering import Page, respond
from agent_service.api.console.sessions import COOKIE, Session
from agent_service.api.problems import INTERNAL_ERROR, QUEUE_UNAVAILABLE, Problem, problem_of
from agent_service.api.services import Services

logger = logging.getLogger(__name__)

SIGN_IN_PATH: Final = "/console/sign-in"
LIVE: Final = "/console/live"
OVERVIEW: Final = "/overview"
NOTICE_FIELD: Final = "told"
SINCE_FIELD: Final = "since"
"""Says to the live part which points a browser has."""
_NOT_OF_THE_PAGE: Final = frozenset({NOTICE_FIELD, SINCE_FIELD})


class SignInNeededError(Exception):
    """Somebody who is not signed in asks for a page."""


@dataclass(frozen=True, slots=True)
class Look:
    """A request for a page, as its view sees it.

    Attributes:
        session: Who asks; None only on pages that are open to everybody.
        query: The parameters after the `?`.
        path: The parameters in the path.
        url: The path with its query.
    """

    console: Console
    session: Session | None
    query: QueryParams
    path: Mapping[str, str]
    url: str

    @property
    def services(self) -> Services:
        """Everything behind the HTTP edge."""
        return self.console.services

    @property
    def caller(self) -> str:
        """The name of the key that was signed in with."""
        return self.session.caller if self.session else ""


View = Callable[[Look], Page]
AnyView = Callable[[Look], Page | Response]
Action = Callable[[Look, Form], Page | Response]


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with the pages for errors around it."""
        handle = super().get_route_handler()

        async def handle_as_page(request: Request) -> Response:
            try:
                return await handle(request)
            except SignInNeededError:
                return _to_sign_in(request)
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody in front of a browser waits for it
                return error_page(request, error)

        return handle_as_page


class PageRouter(APIRouter):
    """Takes views and actions."""

    def __init__(self) -> None:
        super().__init__(route_class=PageRoute, include_in_schema=False)

    def page(self, path: str, view: AnyView, *, is_open: bool = False) -> None:
        """Serve a view.

        Args:
            path: Its path.
            view: Makes the page; it is called in a thread, and again and again while somebody looks.
            is_open: Whether it is shown to everybody.
        """

        async def show(request: Request) -> Response:
            return await run_in_threadpool(_show, request, view, is_open)

        self.add_api_route(path, show, methods=["GET"], name=f"console {path}", response_model=None)

    def action(self, path: str, action: Action) -> None:
        """Serve what a form does; it is called in a thread."""

        async def act(request: Request) -> Response:
            check_origin(request)
            form = await read_form(request)
            return await run_in_threadpool(_act, request, action, form)

        self.add_api_route(path, act, methods=["POST"], name=f"console {path}", response_model=None)


def session_of(request: Request) -> Session:
    """Return the session of a request.

    Raises:
        SignInNeededError: It has none.
        RedisError: Redis is away.
    """
    session = console_of(request).sessions.read(request.cookies.get(COOKIE, ""))
    if session is None:
        raise SignInNeededError
    return session


def look_at(request: Request, session: Session | None) -> Look:
    """Return a request as a view sees it; one that follows a page is seen as one for that page."""
    path = request.url.path
    if path.startswith(f"{LIVE}/"):
        path = path.removeprefix(LIVE)
        path = "/" if path == OVERVIEW else f"/console{path}"
    query = urlencode([pair for pair in request.query_params.multi_items() if pair[0] not in _NOT_OF_THE_PAGE])
    url = path + (f"?{query}" if query else "")
    return Look(console_of(request), session, request.query_params, request.path_params, url)


def shell_of(look: Look) -> dict[str, Any]:
    """Return what the frame around a page reads."""
    return {
        "session": look.session,
        "here": look.url,
        "section": look.url.partition("?")[0],
        "notice": NOTICES.get(look.query.get(NOTICE_FIELD, "")),
        "snapshot": look.console.monitor.snapshot,
    }


def live_url(look: Look) -> str:
    """Return where a page's live part is followed."""
    path, _, query = look.url.partition("?")
    return live_path(path) + (f"?{query}" if query else "")


def live_path(path: str) -> str:
    """Return the path, or its template, under which the page of a path is followed."""
    return LIVE + (OVERVIEW if path == "/" else path.removeprefix("/console"))


def done(target: str, notice: str) -> RedirectResponse:
    """Return the answer to a form that did what it should: go on to a page that says so.

    Args:
        target: A path of this server.
        notice: A key of `NOTICES`.
    """
    return RedirectResponse(f"{target}{'&' if '?' in target else '?'}{NOTICE_FIELD}={notice}", 303)


def error_page(request: Request, error: Exception) -> Response:
    """Return the page for an error."""
    if isinstance(error, ForeignFormError):
        return _message(request, 403, "This form was not sent from the console", f"It was refused, since {error}.")
    kind, problem = problem_of(error, quote(request.url.path, errors="replace"))
    if kind is INTERNAL_ERROR:
        logger.error("a page failed: %s %s", request.method, problem.instance, exc_info=error)
    elif kind is QUEUE_UNAVAILABLE:
        logger.warning("refused %s %s: %s", request.method, problem.instance, error)
    return _message(request, problem.status, problem.title, problem.detail, kind.remedy, problem, kind.retry_after)


def _message(
    request: Request,
    status: int,
    title: str,
    detail: str,
    remedy: str = "",
    problem: Problem | None = None,
    retry_after: int | None = None,
) -> Response:
    page = Page(
        "message",
        title,
        {
            "detail": detail,
            "remedy": remedy,
            "trace_id": problem.trace_id if problem and status == INTERNAL_ERROR.status else None,
            "retries": retry_after is not None and request.method == "GET",
        },
        status,
        is_live=False,
    )
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    session: Session | None = getattr(request.state, "session", None)
    return respond(page, {**shell_of(look_at(request, session)), "live": None}, headers)


def _show(request: Request, view: AnyView, is_open: bool) -> Response:
    try:
        session = session_of(request)
    except Exception:
        if not is_open:
            raise
        session = None
    request.state.session = session
    look = look_at(request, session)
    look.console.monitor.watch()
    page = view(look)
    if isinstance(page, Response):
        return page
    live = live_url(look) if page.is_live and session else None
    return respond(page, {**shell_of(look), "live": live})


def _act(request: Request, action: Action, form: Form) -> Response:
    session = session_of(request)
    request.state.session = session
    if not session.accepts(form.get(CSRF_FIELD, "")):
        raise ForeignFormError("it does not carry this session's token; load the page again and send it once more")
    look = look_at(request, session)
    answer = action(look, form)
    return respond(answer, {**shell_of(look), "live": None}) if isinstance(answer, Page) else answer


def _to_sign_in(request: Request) -> Response:
    url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = url if request.method == "GET" else "/"
    response = RedirectResponse(f"{SIGN_IN_PATH}?{urlencode({'next': target})}", 303)
    if COOKIE in request.cookies:
        response.delete_cookie(COOKIE)
    return response


NOTICES: Final[Mapping[str, str]] = {
    "submitted": "Submitted. The page follows it.",
    "canceled": "Canceled, or asked to stop.",
    "retried": "In its queue again.",
    "retried-some": "In their queues again, as far as they had failed.",
    "dropped-some": "Dropped, as far as they had failed.",
    "none-chosen": "Nothing was done: no task was chosen.",
    "suspended": "Suspended: no worker takes another task.",
    "resumed": "Resumed: the workers take tasks.",
    "profiling-agent": "Its next tasks are profiled; the profiles appear here and on the tasks' pages.",
    "profiling-worker": "It is profiled; the profile appears below when the time is over.",
    "stepped": "Written into the incident.",
    "noted": "The note is in the timeline.",
    "owned": "The incident has a new owner.",
}
"""What a page says after a form did something; a fixed list, so that no link can make the console say anything else."""
