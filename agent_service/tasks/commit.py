"""Group commit: submissions that arrive while Redis is busy with earlier ones go together in the next transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_service.tasks.errors import QueueFullError, TaskServiceError
from agent_service.tasks.idempotency import IdempotencyKey
from agent_service.tasks.models import Task
from agent_service.tasks.submission import PreparedTask, Submitter

BATCH = 500


@dataclass(slots=True)
class _Waiting:
    task: PreparedTask
    idempotency: IdempotencyKey | None
    done: asyncio.Future[Task] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class GroupCommitter:
    """Puts tasks into their queues in groups, and tells each submitter only after its group is in.

    The wait that batching costs is none: the first submission goes at once, and those that arrive meanwhile are the
    next group.
    """

    def __init__(self, submitter: Submitter, max_queue_tasks: int) -> None:
        self._submitter = submitter
        self._limit = max_queue_tasks
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to commit; call it in the event loop that submits."""
        self._loop = asyncio.create_task(self._run(), name="group-commit")

    async def stop(self) -> None:
        """Stop, once everything that waits was answered."""
        while self._waiting:
            await asyncio.wait([waiting.done for waiting in self._waiting])
        if self._loop:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop

    async def submit(self, task: PreparedTask, idempotency: IdempotencyKey | None = None) -> Task:
        """Put a task into its queue and return it once it is there.

        Raises:
            QueueFullError: The queue holds as many tasks as it may.
            QueueUnavailableError: Redis is away; the task was not acknowledged.
        """
        waiting = _Waiting(task, idempotency)
        self._waiting.append(waiting)
        self._wake.set()
        return await asyncio.shield(waiting.done)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting:
                self._wake.clear()
            await self._commit(batch)

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        try:
            outcomes = await asyncio.to_thread(self._commit_now, batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must learn of it
            outcomes = [error] * len(batch)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.done.done():
                continue
            if isinstance(outcome, Exception):
                waiting.done.set_exception(outcome)
            else:
                waiting.done.set_result(outcome)

    def _commit_now(self, batch: Sequence[_Waiting]) -> list[Task | Exception]:
        """Commit a group in the calling thread and return each one's outcome."""
        outcomes: dict[str, Task | Exception] = {}
        room = {name: self._limit - self._submitter.depth(name) for name in {w.task.queue for w in batch}}
        accepted: list[_Waiting] = []
        for waiting in batch:
            room[waiting.task.queue] -= 1
            if room[waiting.task.queue] < 0:
                full = QueueFullError(waiting.task.queue, self._limit)
                waiting.task.end_span(full)
                outcomes[waiting.task.id] = full
            else:
                accepted.append(waiting)
        pipeline = self._submitter.broker.redis.pipeline()
        for waiting in accepted:
            if waiting.idempotency:
                waiting.idempotency.commit(pipeline, waiting.task.id)
        try:
            for task in self._submitter.enqueue([waiting.task for waiting in accepted], pipeline):
                outcomes[task.id] = task
        except TaskServiceError as error:
            outcomes |= {waiting.task.id: error for waiting in accepted}
        return [outcomes[waiting.task.id] for waiting in batch]
