"""Delayed tasks: one worker of a queue moves them into it when their time has come; when it dies, another does.

Who does it holds RQ's own lock of the queue, so a stock `rq worker --with-scheduler` can be the one too. RQ's lease of
61 seconds would be as long a standstill after a `kill -9`; ours is short and renewed often.
"""

from __future__ import annotations

import logging
import time

from redis import Redis
from rq.scheduler import SCHEDULER_KEY_TEMPLATE, RQScheduler
from rq.scripts import acquire_or_refresh_lock, release_lock

from agent_service.tasks.jobs import SERIALIZER

logger = logging.getLogger(__name__)

LEASE_SECONDS = 8
"""How long the lock outlives a worker that died with it."""
RENEW_SECONDS = 2.0
"""How often the lock is renewed, or tried for."""
SILENT_BELOW_SECONDS = 45
"""A stock scheduler gives its record 60 seconds or more to live at least every second; with less left it is dead."""


class Scheduling:
    """Moves the delayed tasks of one queue, while this worker is the one that does so."""

    def __init__(self, redis: Redis, queue: str) -> None:
        self._redis = redis
        self._scheduler = RQScheduler([queue], connection=redis, serializer=SERIALIZER)
        self._scheduler.prepare_registries([queue])
        self._queue = queue
        self._lock = RQScheduler.get_locking_key(queue)
        self._is_ours = False
        self._renewed_at = float("-inf")

    def enqueue_due(self) -> None:
        """Move the tasks whose time has come into the queue, if this worker is the one that does so.

        Raises:
            RedisError: Redis is away.
        """
        now = time.monotonic()
        if now - self._renewed_at >= RENEW_SECONDS:
            self._renew()
            self._renewed_at = now
        if self._is_ours:
            self._scheduler.enqueue_scheduled_jobs()

    def release(self) -> None:
        """Let another worker do it at once.

        Raises:
            RedisError: Redis is away.
        """
        if self._is_ours:
            release_lock(self._redis, self._lock, self._scheduler.name)
            self._is_ours = False

    def _renew(self) -> None:
        outcome = acquire_or_refresh_lock(self._redis, self._lock, self._scheduler.name, LEASE_SECONDS)
        self._is_ours = outcome != "taken"
        if not self._is_ours:
            self._release_of_the_dead()

    def _release_of_the_dead(self) -> None:
        """Free the lock of a stock scheduler that has died; of ours the short lease tells.

        Told by the time that its record has left to live, not by the time of its last heartbeat, which is another
        machine's. One that only slept sees, as RQ's do at every heartbeat, that the lock is no longer its own.
        """
        holder: bytes | None = self._redis.get(self._lock)  # type: ignore[assignment]
        if holder is None:
            return
        name = holder.decode()
        left = self._redis.ttl(SCHEDULER_KEY_TEMPLATE % name)
        if 0 <= left < SILENT_BELOW_SECONDS and release_lock(self._redis, self._lock, name):
            logger.warning("the scheduler %s of queue %s is dead, its lock is free again", name, self._queue)
