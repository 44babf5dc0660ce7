"""Group commit: submissions that arrive while Redis is busy with earlier ones go together in the next transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from redis.client import Pipeline

from agent_service.tasks.errors import QueueFullError, QueueUnavailableError
from agent_service.tasks.idempotency import IdempotencyKey
from agent_service.tasks.models import Task
from agent_service.tasks.submission import PreparedTask, Submitter

BATCH = 500


@dataclass(slots=True)
class _Waiting:
    task: PreparedTask
    idempotency: IdempotencyKey | None
    outcome: Task | Exception | None = None
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
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to commit; call it in the event loop that submits."""
        self._loop = asyncio.create_task(self._run(), name="group-commit")

    async def stop(self) -> None:
        """Stop, once everything that waits was answered."""
        self._stopping = True
        self._wake.set()
        if self._loop:
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
        while self._waiting or not self._stopping:
            await self._wake.wait()
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting and not self._stopping:
                self._wake.clear()
            await self._commit(batch)

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        try:
            await asyncio.to_thread(self._commit_now, batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must learn of it
            for waiting in batch:
                waiting.outcome = waiting.outcome or error
        for waiting in batch:
            self._answer(waiting)

    def _answer(self, waiting: _Waiting) -> None:
        if isinstance(waiting.outcome, Exception):
            waiting.task.end_span(waiting.outcome)
            waiting.done.set_exception(waiting.outcome)
        elif waiting.outcome is not None:
            waiting.done.set_result(waiting.outcome)

    def _commit_now(self, batch: Sequence[_Waiting]) -> None:
        """Commit a group in the calling thread and note each one's outcome."""
        room = {name: self._limit - self._submitter.depth(name) for name in {each.task.queue for each in batch}}
        accepted: list[_Waiting] = []
        for waiting in batch:
            room[waiting.task.queue] -= 1
            if room[waiting.task.queue] < 0:
                waiting.outcome = QueueFullError(waiting.task.queue, self._limit)
            else:
                accepted.append(waiting)
        self._put([waiting for waiting in accepted if not waiting.task.goes_alone])
        for waiting in accepted:
            if waiting.task.goes_alone:
                self._put([waiting])

    def _put(self, group: Sequence[_Waiting]) -> None:
        """Put tasks that share a transaction, or one that goes alone, into their queues."""
        if not group:
            return
        redis = self._submitter.broker.redis
        pipeline = redis.pipeline()
        keyed = [waiting for waiting in group if waiting.idempotency]
        alone = group[0].task.goes_alone
        if not alone:
            _write_keys(keyed, pipeline)
        try:
            tasks = self._submitter.enqueue([waiting.task for waiting in group], pipeline)
        except QueueUnavailableError as error:
            for waiting in group:
                waiting.outcome = error
            return
        for waiting, task in zip(group, tasks, strict=True):
            waiting.outcome = task
        if alone and keyed:
            # After the task, not before: a key that stands for a task that is not there would answer 404 for a day.
            pipeline = redis.pipeline()
            _write_keys(keyed, pipeline)
            pipeline.execute()


def _write_keys(group: Sequence[_Waiting], pipeline: Pipeline) -> None:
    for waiting in group:
        if waiting.idempotency:
            waiting.idempotency.commit(pipeline, waiting.task.id)
