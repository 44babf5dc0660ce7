"""Takes tasks from the queue: async ones for the event loop that it lives in, sync ones for the child's main thread.

While the main thread runs a sync task nothing is taken here: it takes the next one itself, in the same step in which it
writes down the last one's end. So a sync task never waits in a worker that is busy.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import time
from collections.abc import Sequence

from redis.exceptions import RedisError

from agent_service.settings import Settings
from agent_service.tasks.ledger import Ledger, StartedTask
from agent_service.worker.finisher import Finisher
from agent_service.worker.protocol import Channel, Retiring
from agent_service.worker.runner import Ending, Runner, Running

logger = logging.getLogger(__name__)

POP_SECONDS = 1
REDIS_WAIT_LIMIT = 5.0
STANDBY_SECONDS = 3.0
"""How long before it has run its share a child asks for its successor, which takes about a second to start."""


class Feeder:
    """Decides when tasks are taken, and who runs them."""

    def __init__(
        self, settings: Settings, ledger: Ledger, runner: Runner, channel: Channel, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._ledger = ledger
        self._runner = runner
        self._finisher = Finisher(ledger, runner, channel)
        self._channel = channel
        self._loop = loop
        self._slots = settings.worker_async_tasks
        self._left = settings.worker_recycle_tasks
        self._changed = asyncio.Event()
        self._for_main: queue.SimpleQueue[StartedTask | None] = queue.SimpleQueue()
        self._main_is_busy = False
        self._running: set[asyncio.Task[None]] = set()
        self._ended: list[Ending] = []
        self._waiter: asyncio.Task[None] | None = None
        self._is_empty = False
        self._suspended = False
        self._draining = False
        self._is_retiring = False
        self._began = time.monotonic()
        self._taken = 0

    # What other threads call.

    def suspend(self, suspended: bool) -> bool:
        """Take no tasks until told otherwise; return whether that is news."""
        is_news = suspended != self._suspended
        self._suspended = suspended
        self._notify()
        return is_news

    def drain(self) -> None:
        """Take no further tasks, and end `serve` and `run_sync_tasks` once those that run have ended."""
        self._draining = True
        self._notify()

    def run_sync_tasks(self) -> None:
        """Run the sync tasks in the main thread, until there is a reason to leave."""
        while (started := self._for_main.get()) is not None:
            self._loop.call_soon_threadsafe(self._on_main_free, self._run_chain(started))

    def _run_chain(self, started: StartedTask) -> list[StartedTask]:
        """Run a sync task and those that are taken at its end; return one that is async, if that came then."""
        while True:
            running = self._runner.begin(started)
            self._channel.send()
            taken = self._finisher.finish(self._runner.run_here(running), int(self._may_take()))
            self._count(taken)
            if not taken or self._runner.runs_in_loop(taken[0]):
                return taken
            started = taken[0]

    def _notify(self) -> None:
        self._loop.call_soon_threadsafe(self._changed.set)

    # What happens in the event loop.

    async def serve(self) -> None:
        """Take tasks and write down the ends of async ones, until there is a reason to leave."""
        while not self._is_over():
            if self._ended or (self._wanted() and not self._is_empty):
                await self._step()
                continue
            if self._wanted() and self._waiter is None:
                self._waiter = self._loop.create_task(self._wait())
            await self._changed.wait()
            self._changed.clear()
        self._for_main.put(None)

    def _is_over(self) -> bool:
        leaving = self._draining or self._left <= 0
        return leaving and not (self._running or self._ended or self._main_is_busy or self._waiter)

    def _may_take(self) -> bool:
        return not self._suspended and not self._draining and self._left > 0

    def _wanted(self) -> int:
        """Return how many tasks may be taken now; none while the main thread is busy, since the next may be for it."""
        if self._main_is_busy or not self._may_take():
            return 0
        return min(self._slots - len(self._running), self._left)

    async def _step(self) -> None:
        ended, self._ended = self._ended, []
        wanted = self._wanted() if self._waiter is None else 0
        try:
            started = await self._finisher.finish_together(ended, wanted)
        except RedisError as error:
            await self._wait_for_redis(error)
            return
        self._is_empty = self._is_empty if wanted == 0 else not started
        self._count(started)
        self._dispatch(started)

    async def _wait(self) -> None:
        """Wait for a task at an empty queue."""
        try:
            if self._runner.is_idle:
                await asyncio.to_thread(self._ledger.rest)
            started = await self._ledger.wait_async(POP_SECONDS, self._wanted)
            self._is_empty = not started
            self._count(started)
            self._dispatch(started)
        except RedisError as error:
            await self._wait_for_redis(error)
        finally:
            self._waiter = None
            self._changed.set()

    def _dispatch(self, started: Sequence[StartedTask]) -> None:
        """Begin async tasks here, and hand a sync one over."""
        for_here = [task for task in started if self._runner.runs_in_loop(task)]
        for running in [self._runner.begin(task) for task in for_here]:
            loop_task = self._loop.create_task(self._run(running))
            self._running.add(loop_task)
            loop_task.add_done_callback(self._on_run_done)
        self._channel.send()
        for task in started:
            if not self._runner.runs_in_loop(task):
                self._main_is_busy = True
                self._for_main.put(task)

    async def _run(self, running: Running) -> None:
        ending = await self._runner.run_in_loop(running)
        if ending.is_usual:
            self._ended.append(ending)
        else:
            await asyncio.to_thread(self._finisher.finish_alone, ending)

    def _on_run_done(self, loop_task: asyncio.Task[None]) -> None:
        self._running.discard(loop_task)
        self._changed.set()
        if not loop_task.cancelled() and (error := loop_task.exception()):
            logger.error("the end of a task is not written", exc_info=error)

    def _on_main_free(self, taken: Sequence[StartedTask]) -> None:
        self._main_is_busy = False
        self._is_empty = False
        self._dispatch(taken)
        self._changed.set()

    def _count(self, started: Sequence[StartedTask]) -> None:
        """Count tasks that were taken, and ask for a successor shortly before the share is used up."""
        self._taken += len(started)
        self._left -= len(started)
        rate = self._taken / max(time.monotonic() - self._began, 0.001)
        if not self._is_retiring and self._left < rate * STANDBY_SECONDS:
            self._is_retiring = True
            self._channel.keep(Retiring())

    async def _wait_for_redis(self, error: RedisError) -> None:
        logger.warning("Redis is away, waiting for it: %s", error)
        wait = 0.1
        while not self._draining:
            await asyncio.sleep(wait)
            wait = min(2 * wait, REDIS_WAIT_LIMIT)
            try:
                await asyncio.to_thread(self._ledger.check)
            except RedisError:
                continue
            logger.info("Redis is back")
            return
