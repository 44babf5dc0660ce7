"""What a worker owes Redis while its child works: heartbeats, scheduled tasks, cleaning, the look-out for `suspend`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from redis.exceptions import RedisError

from agent_service.settings import Settings
from agent_service.tasks.upkeep import Upkeep

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0


class Duties:
    """Does them from a thread of its own, so that a slow Redis delays no message of the child."""

    def __init__(
        self,
        upkeep: Upkeep,
        settings: Settings,
        *,
        running: Callable[[], Iterable[tuple[str, str]]],
        on_suspend: Callable[[bool], None],
    ) -> None:
        """Prepare; `start` begins.

        Args:
            upkeep: What is done.
            settings: How often.
            running: Returns task id and execution id of every run.
            on_suspend: Told when `rq suspend` or `rq resume` was said.
        """
        self._upkeep = upkeep
        self._interval = settings.worker_heartbeat_seconds
        self._running = running
        self._on_suspend = on_suspend
        self._suspended = False
        self._away = False
        self._beat_at = 0.0
        self._cleaned_at = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="duties", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End, within `timeout` seconds."""
        self._over.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._over.wait(TICK_SECONDS):
            try:
                self._tick(time.monotonic())
                self._note_back()
            except RedisError as error:
                self._note_away(error)
            except Exception:
                logger.exception("a duty failed and will be tried again")

    def _tick(self, now: float) -> None:
        if now - self._beat_at >= self._interval:
            self._upkeep.beat(self._running())
            self._beat_at = now
        self._upkeep.enqueue_scheduled()
        suspended = self._upkeep.is_suspended()
        if suspended != self._suspended:
            self._suspended = suspended
            logger.warning("worker %s", "suspended" if suspended else "resumed")
            self._on_suspend(suspended)
        if now - self._cleaned_at >= 2 * self._interval:
            self._upkeep.clean()
            self._cleaned_at = now

    def _note_away(self, error: RedisError) -> None:
        if not self._away:
            logger.warning("Redis is away, duties wait for it: %s", error)
        self._away = True

    def _note_back(self) -> None:
        if self._away:
            logger.info("Redis is back, duties go on")
        self._away = False
