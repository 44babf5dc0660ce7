"""Who is signed in: a random token in a cookie, and what it stands for in Redis, where it ends by itself."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel
from redis import Redis

from agent_service.api.authentication import ApiKeys

COOKIE: Final = "agent_console"
TOKEN_BYTES: Final = 32
FAILURES: Final = 10
"""Wrong keys that one address may send within `FAILURE_SECONDS`."""
FAILURE_SECONDS: Final = 300


class Session(BaseModel):
    """What a token stands for.

    Attributes:
        caller: The name of the API key.
        fingerprint: Tells whether the key is still the one that was signed in with.
        csrf: What each form of the session carries, so that no other site can send one.
    """

    caller: str
    fingerprint: str
    csrf: str

    def accepts(self, csrf: str) -> bool:
        """Return whether a form is one of this session's; the comparison takes the same time for each."""
        return hmac.compare_digest(self.csrf.encode(), csrf.encode())


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session and the token that its browser keeps."""

    token: str
    session: Session


class Sessions:
    """Opens, reads and ends sessions. Redis has only digests of tokens, so that reading it signs nobody in."""

    def __init__(self, reads: Redis, writes: Redis, keys: ApiKeys, *, seconds: int) -> None:
        """Take the clients.

        Args:
            reads: For reading.
            writes: For writing.
            keys: The API keys that are valid.
            seconds: How long a session lasts after its last use.
        """
        self._reads = reads
        self._writes = writes
        self._keys = keys
        self.seconds = seconds

    def sign_in(self, key: str, address: str) -> SignedIn | None:
        """Open a session for the holder of a key; None for a key that is not valid.

        Args:
            key: What was typed in.
            address: Where it comes from; wrong keys are counted by it.

        Raises:
            TooManyFailuresError: Too many wrong keys came from there.
            RedisError: Redis is away.
        """
        self._check_failures(address)
        owner = self._keys.owner_of(key.strip().encode())
        fingerprint = self._keys.fingerprint(owner) if owner else None
        if owner is None or fingerprint is None:
            self._count_failure(address)
            return None
        token = secrets.token_urlsafe(TOKEN_BYTES)
        session = Session(caller=owner, fingerprint=fingerprint, csrf=secrets.token_urlsafe(TOKEN_BYTES))
        self._writes.set(_session_key(token), session.model_dump_json(), ex=self.seconds)
        return SignedIn(token, session)

    def read(self, token: str) -> Session | None:
        """Return the session of a token, and let it last on; None where it ended or its key is no longer valid.

        Raises:
            RedisError: Redis is away.
        """
        if not token:
            return None
        raw: bytes | None = self._reads.getex(_session_key(token), ex=self.seconds)  # type: ignore[assignment]
        session = Session.model_validate_json(raw) if raw else None
        if session is None or self._keys.fingerprint(session.caller) != session.fingerprint:
            return None
        return session

    def sign_out(self, token: str) -> None:
        """End a session.

        Raises:
            RedisError: Redis is away.
        """
        self._writes.delete(_session_key(token))

    def _check_failures(self, address: str) -> None:
        key = _failures_key(address)
        failures = int(self._reads.get(key) or 0)
        if failures >= FAILURES:
            left = int(self._reads.ttl(key))
            raise TooManyFailuresError(left if left > 0 else FAILURE_SECONDS)

    def _count_failure(self, address: str) -> None:
        pipeline = self._writes.pipeline()
        pipeline.incr(_failures_key(address))
        pipeline.expire(_failures_key(address), FAILURE_SECONDS, nx=True)
        pipeline.execute()


class TooManyFailuresError(Exception):
    """Too many wrong keys came from one address.

    Attributes:
        seconds: After how long the next one is looked at.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many wrong keys; try again in {seconds} s")
        self.seconds = seconds


def _session_key(token: str) -> str:
    return f"agents:console:session:{hashlib.sha256(token.encode()).hexdigest()}"


def _failures_key(address: str) -> str:
    return f"agents:console:failures:{address}"
