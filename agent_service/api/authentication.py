"""Who may use the API: the holders of the keys whose SHA-256 digests are configured."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from starlette.datastructures import Headers

from agent_service.api import problems
from agent_service.api.problems import ProblemError, ProblemKind

SECURITY_SCHEMES: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer <key>`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key in its own header."},
}
"""How a key is sent, as OpenAPI tells it."""
ALERTS_SCHEME: Final = "alertsToken"
ALERTS_SECURITY_SCHEME: Final[dict[str, Any]] = {
    "type": "http",
    "scheme": "bearer",
    "description": "`Authorization: Bearer <token>`, with the token that only Alertmanager has",
}


class ApiKeys:
    """The keys that are valid; only their digests are known here."""

    def __init__(self, digests: Mapping[str, str]) -> None:
        """Take the keys' SHA-256 digests in lower-case hexadecimal, by the keys' names."""
        self._digests = dict(digests)

    def owner_of(self, key: bytes) -> str | None:
        """Return the name of a key, or None for one that is not valid.

        Every digest is compared, in constant time, so the time taken tells neither how far a guess was right nor
        which key it was.
        """
        digest = hashlib.sha256(key).hexdigest()
        owner = None
        for name, expected in self._digests.items():
            if hmac.compare_digest(digest, expected):
                owner = name
        return owner

    def fingerprint(self, owner: str) -> str | None:
        """Return what tells a key from the one that had its name before; None where there is no key of that name."""
        digest = self._digests.get(owner)
        return hashlib.sha256(digest.encode()).hexdigest() if digest else None


async def caller(request: Request) -> str:
    """Return the name of the key that the request came with."""
    name: str = request.state.caller
    return name


Caller = Annotated[str, Depends(caller)]


def authenticate(request: Request) -> str:
    """Return the name of the key that a request carries.

    Raises:
        ProblemError: It carries none, or one that is not valid.
    """
    headers = request.headers
    key = _bearer(headers)
    if key is None:
        key = headers.get("x-api-key", "")
    return _owner(request.app.state.services.keys, key, problems.UNAUTHORIZED, "API key")


def authenticate_alerts(request: Request) -> str:
    """Return the name under which Alertmanager's token is known.

    Raises:
        ProblemError: The request carries no token, or another one.
    """
    token = _bearer(request.headers) or ""
    return _owner(request.app.state.services.alerts_token, token, problems.ALERTS_UNAUTHORIZED, "token for alerts")


def _owner(keys: ApiKeys, key: str, refusal: ProblemKind, what: str) -> str:
    owner = keys.owner_of(key.encode("latin-1")) if key else None  # latin-1 gives back the very bytes that were sent
    if owner is None:
        detail = f"the {what} is not valid" if key else f"the request carries no {what}"
        raise ProblemError(refusal, detail, headers={"WWW-Authenticate": "Bearer"})
    return owner


def _bearer(headers: Headers) -> str | None:
    """Return what is sent as a bearer token, or None where the request is authorized in another way, or in none."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None
