"""Connections to Redis or Valkey."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from agent_service.settings import Settings

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
REPLY_SECONDS = 10.0
"""Longer than any blocking read here; a peer that is silent for longer is taken for gone."""


class RedisUnavailableError(Exception):
    """Redis cannot be reached at start-up; the message is one line that says where it was looked for."""


def redis_url(settings: Settings) -> str:
    """Return where Redis is.

    Raises:
        RedisUnavailableError: The settings do not say.
    """
    if settings.redis_url is None:
        raise RedisUnavailableError(
            "REDIS_URL is not set; set it to your server, or run `agent-service up`, which brings its own"
        )
    return settings.redis_url.get_secret_value()


def connect(settings: Settings, *, retries: int = 1) -> redis.Redis:
    """Return a client; nothing is sent yet.

    Args:
        settings: Where Redis is.
        retries: How often a command is sent again on a fresh connection after the old one broke. 0 for whoever must
            know whether a command ran.

    Raises:
        RedisUnavailableError: The settings do not say where it is, or not in the form of a URL.
    """
    try:
        return redis.Redis.from_url(
            redis_url(settings),
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=REPLY_SECONDS,
            health_check_interval=30,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries),
        )
    except ValueError as error:
        raise RedisUnavailableError(f"REDIS_URL is not a Redis URL: {error}") from error


def wait_for_redis(client: redis.Redis, wanted: Callable[[], bool]) -> bool:
    """Wait until Redis answers, for as long as `wanted` says so; return whether it does answer."""
    wait = 0.1
    while wanted():
        try:
            client.ping()
        except RedisError as error:
            if wait == 0.1:
                logger.warning("Redis is away, waiting for it: %s", error)
        else:
            return True
        time.sleep(wait)
        wait = min(2 * wait, 2.0)
    return False


def connect_async(settings: Settings, *, retries: int = 1) -> redis.asyncio.Redis:
    """Return an asyncio client; nothing is sent yet.

    Args:
        settings: Where Redis is.
        retries: How often a command is sent again; see `connect`.

    Raises:
        RedisUnavailableError: The settings do not say where it is.
    """
    return redis.asyncio.Redis.from_url(
        redis_url(settings),
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=REPLY_SECONDS,
        retry=AsyncRetry(ExponentialBackoff(cap=0.5, base=0.05), retries),
    )


def check(client: redis.Redis, settings: Settings) -> None:
    """Ask Redis whether it is there.

    Raises:
        RedisUnavailableError: It is not, or refuses the password.
    """
    try:
        client.ping()
    except RedisError as error:
        where = urlsplit(redis_url(settings))
        place = f"{where.hostname}:{where.port or 6379}" if where.hostname else where.path
        raise RedisUnavailableError(f"Redis at {place} cannot be used: {error}") from error
