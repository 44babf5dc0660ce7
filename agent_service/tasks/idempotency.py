"""The `Idempotency-Key` header: the same key and body give the same task, however often they arrive.

Follows the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header): another body
under a used key is refused, and so is a second request while the first is being handled. What a key was used for is
written in the very transaction that puts the task into its queue, so neither exists without the other.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from redis import Redis
from redis.client import Pipeline

from agent_service.tasks import keys
from agent_service.tasks.errors import IdempotencyBusyError, IdempotencyMismatchError
from agent_service.tasks.models import Submission
from agent_service.telemetry.identifiers import uuid7

KEPT_SECONDS = 24 * 3600
LOCK_SECONDS = 30


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """One client's key for one body.

    Attributes:
        owner: The name of the API key, since two clients may choose the same word.
        key: The header's value.
        fingerprint: SHA-256 of the body as it was understood.
        holder: Tells this request's hold on the key from that of a later one.
    """

    owner: str
    key: str
    fingerprint: str
    holder: str

    @classmethod
    def of(cls, owner: str, key: str, submission: Submission) -> IdempotencyKey:
        """Return the key for a body."""
        body = json.dumps(submission.model_dump(mode="json"), sort_keys=True)  # integers of any size, unlike orjson
        return cls(owner, key, hashlib.sha256(body.encode()).hexdigest(), uuid7())

    def begin(self, redis: Redis) -> str | None:
        """Return the id of the task that the key already stands for, or None and hold the key for this request.

        Raises:
            IdempotencyMismatchError: The key was used with another body.
            IdempotencyBusyError: A request with the key is being handled.
        """
        held = redis.set(self._lock, self.holder, nx=True, ex=LOCK_SECONDS)
        record: bytes | None = redis.get(self._record)  # type: ignore[assignment]
        if record:
            if held:
                redis.delete(self._lock)
            fingerprint, _, task_id = record.decode().partition(":")
            if fingerprint != self.fingerprint:
                raise IdempotencyMismatchError(f"the idempotency key {self.key!r} was used for another request body")
            return task_id
        if not held:
            raise IdempotencyBusyError(f"a request with the idempotency key {self.key!r} is being handled")
        return None

    def commit(self, pipeline: Pipeline, task_id: str) -> None:
        """Write what the key stands for onto the transaction that makes the task, and let the key go."""
        pipeline.set(self._record, f"{self.fingerprint}:{task_id}", ex=KEPT_SECONDS)
        pipeline.delete(self._lock)

    def release(self, redis: Redis) -> None:
        """Let the key go after a request that made no task, unless its hold has expired."""
        if redis.get(self._lock) == self.holder.encode():
            redis.delete(self._lock)

    @property
    def _record(self) -> str:
        return keys.idempotency(self.owner, self.key)

    @property
    def _lock(self) -> str:
        return keys.idempotency_lock(self.owner, self.key)
