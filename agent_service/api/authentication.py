"""Who may use the API: the holders of the keys whose SHA-256 digests are configured."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from starlette.datastructures import Headers

from agent_service.api import problems
from agent_service.api.problems import ProblemError

SECURITY_SCHEMES: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer <key>`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key in its own header."},
}
"""How a key is sent, as OpenAPI tells it."""


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
    keys: ApiKeys = request.app.state.services.keys
    key = _key_in(request.headers)
    owner = keys.owner_of(key.encode("latin-1")) if key else None  # latin-1 gives back the very bytes that were sent
    if owner is None:
        detail = "the API key is not valid" if key else "the request carries no API key"
        raise ProblemError(problems.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
    return owner


def _key_in(headers: Headers) -> str:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return headers.get("x-api-key", "")
