"""Stops all workers from taking tasks, and lets them go on: RQ's own switch, one for all queues."""

from __future__ import annotations

from redis import Redis
from rq.suspension import resume, suspend

from agent_service.tasks.models import Suspension

SUSPENDED_KEY = "rq:suspended"


def suspend_workers(redis: Redis, seconds: int | None = None) -> Suspension:
    """Let no worker take another task; those that run go on to their end.

    Args:
        redis: The client.
        seconds: After how long the workers go on by themselves; None waits for `resume_workers`.

    Raises:
        RedisError: Redis is away.
    """
    suspend(redis, seconds)
    return Suspension(suspended=True, seconds_left=seconds)


def resume_workers(redis: Redis) -> Suspension:
    """Let the workers take tasks again.

    Raises:
        RedisError: Redis is away.
    """
    resume(redis)
    return Suspension(suspended=False)


def read_suspension(redis: Redis) -> Suspension:
    """Return whether the workers are suspended, and for how much longer.

    Raises:
        RedisError: Redis is away.
    """
    left = int(redis.ttl(SUSPENDED_KEY))
    # Redis answers -2 for a key that is not there and -1 for one that stays.
    return Suspension(suspended=left != -2, seconds_left=left if left >= 0 else None)
