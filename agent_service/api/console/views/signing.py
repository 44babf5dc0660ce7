"""`/console/sign-in`: an API key becomes a session; and the way out."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from agent_service.api.console.console import console_of
from agent_service.api.console.forms import CSRF_FIELD, ForeignFormError, check_origin, local_path, read_form
from agent_service.api.console.rendering import Page, respond
from agent_service.api.console.routing import SIGN_IN_PATH, SignInNeededError, look_at, session_of, shell_of
from agent_service.api.console.sessions import COOKIE, SignedIn, TooManyFailuresError

logger = logging.getLogger(__name__)

COOKIE_SECONDS: Final = 30 * 24 * 3600
"""How long a browser keeps the token; whether it still stands for anything is decided here, by its last use."""


async def show_sign_in(request: Request) -> Response:
    """Ask for a key."""
    return await run_in_threadpool(_form, request, local_path(request.query_params.get("next")), "")


async def sign_in(request: Request) -> Response:
    """Open a session for whoever sends a valid key."""
    check_origin(request)
    form = await read_form(request)
    target = local_path(form.get("next"))
    address = request.client.host if request.client else "unknown"
    sessions = console_of(request).sessions
    try:
        opened = await run_in_threadpool(sessions.sign_in, form.get("key", ""), address)
    except TooManyFailuresError as error:
        minutes = -(-error.seconds // 60)
        fault = f"Too many wrong keys came from your address. Try again in {minutes} min."
        response = _form(request, target, fault, HTTPStatus.TOO_MANY_REQUESTS)
        response.headers["Retry-After"] = str(error.seconds)
        return response
    if opened is None:
        logger.warning("a wrong key was typed into the console", extra={"client_address": address})
        fault = "This key is not valid. It is the one after API_KEY= in .env."
        return _form(request, target, fault, HTTPStatus.UNAUTHORIZED)
    logger.info("signed in to the console", extra={"caller": opened.session.caller})
    return _with_cookie(request, RedirectResponse(target, HTTPStatus.SEE_OTHER), opened)


async def sign_out(request: Request) -> Response:
    """End the session."""
    check_origin(request)
    form = await read_form(request)
    try:
        session = await run_in_threadpool(session_of, request)
        if not session.accepts(form.get(CSRF_FIELD, "")):
            raise ForeignFormError("it does not carry this session's token")
        await run_in_threadpool(console_of(request).sessions.sign_out, request.cookies[COOKIE])
    except SignInNeededError:
        pass  # it has ended already
    response = RedirectResponse(SIGN_IN_PATH, HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


async def tell_session(request: Request) -> Response:
    """Tell the sign-in page whether its browser is signed in after all.

    A link from another site brings no cookie along, since it is for this site alone; what that page then asks does.
    """
    await run_in_threadpool(session_of, request)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _form(request: Request, target: str, fault: str, status: int = HTTPStatus.OK) -> Response:
    page = Page("sign_in", "Sign in", {"next": target, "fault": fault}, status, is_live=False)
    return respond(page, {**shell_of(look_at(request, None)), "live": None})


def _with_cookie(request: Request, response: Response, opened: SignedIn) -> Response:
    console = console_of(request)
    is_secure = request.url.scheme == "https" or console.services.settings.console_secure_cookie
    response.set_cookie(
        COOKIE,
        opened.token,
        max_age=COOKIE_SECONDS,
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="strict",
    )
    return response
