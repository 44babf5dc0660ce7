"""What the routes of this API have in common: a key is needed, and a body is strictly JSON."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

from agent_service.api import problems
from agent_service.api.authentication import authenticate, authenticate_alerts
from agent_service.api.problems import FieldError, ProblemError


class StrictRequest(Request):
    """A request whose body is read as JSON and nothing beside it.

    Python's own parser also takes NaN, halves of surrogate pairs and nesting without end, and what it takes cannot
    all be written again.
    """

    async def json(self) -> Any:
        """Return the body's content.

        Raises:
            ProblemError: It is not JSON.
        """
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            fault = FieldError(pointer="#", detail=f"not JSON: {error}")
            raise ProblemError(problems.INVALID_REQUEST, "the body is not JSON", errors=[fault]) from error


class KeyedRoute(APIRoute):
    """A route that needs a key.

    The key is looked at before the body is read, so a stranger cannot make the service parse anything.
    """

    @staticmethod
    def caller_of(request: Request) -> str:
        """Return who sends a request.

        Raises:
            ProblemError: Nobody who may.
        """
        return authenticate(request)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with the check in front of it."""
        handle = super().get_route_handler()

        async def authenticated(request: Request) -> Response:
            request.state.caller = self.caller_of(request)
            return await handle(StrictRequest(request.scope, request.receive))

        return authenticated


class AlertsRoute(KeyedRoute):
    """A route that needs Alertmanager's token, which opens nothing else."""

    @staticmethod
    def caller_of(request: Request) -> str:
        """Return the name under which Alertmanager's token is known.

        Raises:
            ProblemError: The request does not carry it.
        """
        return authenticate_alerts(request)
