"""The tasks that failed for good: read them, try them again, or drop them, many at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from rq import Queue
from rq.registry import FailedJobRegistry

from agent_service.tasks import keys
from agent_service.tasks.broker import Broker
from agent_service.tasks.control import TaskControl
from agent_service.tasks.errors import InvalidTransitionError, TaskNotFoundError, TaskServiceError
from agent_service.tasks.jobs import SERIALIZER, TaskJob, read_meta, task_status, to_task
from agent_service.tasks.models import DeadLetterPage, Task, TaskStatus

CHUNK = 200
SCAN_LIMIT = 5_000
"""Failed tasks that one request looks at; a filter that matches little answers with a short page and an offset."""
_DEAD = frozenset({TaskStatus.FAILED, TaskStatus.STOPPED})


class DeadLetters:
    """RQ's registries of failed jobs, over all queues."""

    def __init__(self, reads: Broker, writes: Broker, control: TaskControl) -> None:
        """Take the brokers.

        Args:
            reads: For reading.
            writes: For writing; one that sends nothing twice.
            control: Retries tasks.
        """
        self._reads = reads
        self._writes = writes
        self._control = control

    def count(self) -> int:
        """Return how many failed tasks are kept.

        Raises:
            RedisError: Redis is away.
        """
        pipeline = self._reads.redis.pipeline(transaction=False)
        names = self._queues()
        for name in names:
            pipeline.zcount(_key(name), time.time(), "+inf")
        return sum(pipeline.execute()) if names else 0

    def page(
        self, *, agent: str | None = None, queue: str | None = None, limit: int = 50, offset: int = 0
    ) -> DeadLetterPage:
        """Return failed tasks without their input, the latest first.

        Args:
            agent: Only this agent's.
            queue: Only those of this queue.
            limit: Most tasks that are wanted.
            offset: `next_offset` of the page before.

        Raises:
            RedisError: Redis is away.
        """
        ids = self._ids(queue)
        found: list[Task] = []
        seen = offset
        for task in islice(self._tasks(ids[offset:]), SCAN_LIMIT):
            seen += 1
            if task is not None and (agent is None or task.agent == agent):
                found.append(task)
                if len(found) == limit:
                    break
        return DeadLetterPage(tasks=found, total=self.count(), next_offset=seen if seen < len(ids) else None)

    def matching(self, *, agent: str | None = None, queue: str | None = None, limit: int) -> list[str]:
        """Return the ids of failed tasks, the latest first.

        Raises:
            RedisError: Redis is away.
        """
        ids = self._ids(queue)
        if agent is None:
            return ids[:limit]
        tasks = self._tasks(ids[:SCAN_LIMIT])
        return [task.id for task in islice((t for t in tasks if t is not None and t.agent == agent), limit)]

    def retry(self, task_ids: Iterable[str]) -> dict[str, TaskServiceError | None]:
        """Put failed tasks into their queues again, each by itself; return what kept one from it, or None.

        Raises:
            RedisError: Redis is away; those before it are in their queues.
        """
        return {task_id: self._outcome_of_retry(task_id) for task_id in dict.fromkeys(task_ids)}

    def drop(self, task_ids: Iterable[str]) -> dict[str, TaskServiceError | None]:
        """Forget failed tasks for good, each by itself; return what kept one from it, or None.

        Raises:
            RedisError: Redis is away; those before it are gone.
        """
        return {task_id: self._outcome_of_drop(task_id) for task_id in dict.fromkeys(task_ids)}

    def _outcome_of_retry(self, task_id: str) -> TaskServiceError | None:
        try:
            self._control.retry(task_id)
        except (TaskNotFoundError, InvalidTransitionError) as error:
            return error
        return None

    def _outcome_of_drop(self, task_id: str) -> TaskServiceError | None:
        try:
            job = self._writes.fetch(task_id)
        except TaskNotFoundError as error:
            return error
        status = task_status(job.get_status(refresh=False))
        if status not in _DEAD:
            return InvalidTransitionError(f"task {task_id} is {status}; only failed and stopped tasks are dropped")
        redis = self._writes.redis
        registry = FailedJobRegistry(job.origin, redis, job_class=TaskJob, serializer=SERIALIZER)
        # Whoever takes it out of the registry has it: a retry at this moment wins or loses as a whole.
        if not registry.remove(job):
            return InvalidTransitionError(f"task {task_id} was retried or dropped by somebody else at this moment")
        meta = read_meta(job)
        job.delete()
        pipeline = redis.pipeline()
        pipeline.zrem(keys.ALL_TASKS, task_id)
        pipeline.zrem(keys.tasks_of(meta.agent), task_id)
        pipeline.delete(keys.journal(task_id))
        pipeline.execute()
        return None

    def _queues(self) -> list[str]:
        return sorted(queue.name for queue in Queue.all(connection=self._reads.redis))

    def _ids(self, queue: str | None) -> list[str]:
        """Return the ids of all failed tasks, the latest first: they are kept for the same time, so by their expiry."""
        names = [queue] if queue else self._queues()
        pipeline = self._reads.redis.pipeline(transaction=False)
        for name in names:
            pipeline.zrangebyscore(_key(name), time.time(), "+inf", withscores=True)
        entries = [entry for answer in (pipeline.execute() if names else ()) for entry in answer]
        entries.sort(key=lambda entry: (-entry[1], entry[0]))
        return [task_id.decode() for task_id, _ in entries]

    def _tasks(self, ids: list[str]) -> Iterator[Task | None]:
        for start in range(0, len(ids), CHUNK):
            for job in self._reads.fetch_many(ids[start : start + CHUNK]):
                yield to_task(job, self._reads.links, whole=False) if job is not None else None


def _key(queue: str) -> str:
    return FailedJobRegistry.key_template.format(queue)
