"""Reads tasks: one, or a page of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from redis import Redis
from rq.job import Job
from rq.results import Result

from agent_service.settings import Settings
from agent_service.tasks import keys
from agent_service.tasks.broker import Broker
from agent_service.tasks.jobs import SERIALIZER, task_status, to_task
from agent_service.tasks.models import Task, TaskPage, TaskStatus

CHUNK = 200
SCAN_LIMIT = 5_000
"""Ids that one request for a page looks at; a filter that matches little answers with a short page and a cursor."""


class TaskReader:
    """Reads tasks."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def get(self, task_id: str) -> Task:
        """Return a task with its input, result and error.

        Raises:
            TaskNotFoundError: There is none of that id.
            RedisError: Redis is away.
        """
        job = self._broker.fetch(task_id)
        result = job.latest_result() if task_status(job.get_status(refresh=False)) is TaskStatus.FINISHED else None
        return to_task(job, self._broker.links, result=_success(result))

    def get_many(self, task_ids: Iterable[str]) -> list[Task]:
        """Return the tasks that there are of several, with their results.

        Raises:
            RedisError: Redis is away.
        """
        ids = list(task_ids)
        jobs = [job for job in self._broker.fetch_many(ids) if job is not None] if ids else []
        pipeline = self._broker.redis.pipeline(transaction=False)
        for job in jobs:
            pipeline.xrevrange(Result.get_key(job.id), "+", "-", count=1)
        results = [_restore(job, raw) for job, raw in zip(jobs, pipeline.execute() if jobs else (), strict=True)]
        return [
            to_task(job, self._broker.links, result=_success(result)) for job, result in zip(jobs, results, strict=True)
        ]

    def page(
        self, *, agent: str | None = None, status: TaskStatus | None = None, limit: int = 50, cursor: str | None = None
    ) -> TaskPage:
        """Return tasks without their input and result, newest first.

        Args:
            agent: Only this agent's.
            status: Only those in this state.
            limit: Most tasks that are wanted.
            cursor: `next_cursor` of the page before.

        Raises:
            RedisError: Redis is away.
        """
        found: list[str] = []
        seen = 0
        last = None
        for task_id, task_status_now in self._walk(agent, cursor):
            seen += 1
            last = task_id
            if status is None or task_status_now is status:
                found.append(task_id)
            if len(found) == limit or seen == SCAN_LIMIT:
                break
        more = last if len(found) == limit or seen == SCAN_LIMIT else None
        jobs = [job for job in self._broker.fetch_many(found) if job is not None] if found else []
        return TaskPage(tasks=[to_task(job, self._broker.links, whole=False) for job in jobs], next_cursor=more)

    def _walk(self, agent: str | None, cursor: str | None) -> Iterator[tuple[str, TaskStatus]]:
        """Yield ids and states from the cursor on, newest first, dropping ids whose task has expired."""
        key = keys.tasks_of(agent) if agent else keys.ALL_TASKS
        redis = self._broker.redis
        while True:
            upper = f"({cursor}" if cursor else "+"
            raw: list[bytes] = redis.zrevrangebylex(key, upper, "-", start=0, num=CHUNK)  # type: ignore[assignment]
            ids = [task_id.decode() for task_id in raw]
            if not ids:
                return
            cursor = ids[-1]
            statuses = self._broker.statuses(ids)
            gone = [task_id for task_id, status in zip(ids, statuses, strict=True) if status is None]
            if gone:
                redis.zrem(key, *gone)
            for task_id, status in zip(ids, statuses, strict=True):
                if status is not None:
                    yield task_id, task_status(status)


def forget_old_ids(redis: Redis, settings: Settings, now_ms: int) -> None:
    """Trim the lists of ids by what is older than any task is kept.

    Args:
        redis: The client.
        settings: How long results and failures are kept.
        now_ms: Unix time in milliseconds.
    """
    kept_ms = 1000 * (max(settings.result_ttl_seconds, settings.failure_ttl_seconds) + 31 * 24 * 3600)
    oldest = max(0, now_ms - kept_ms)
    upper = f"({oldest >> 16:08x}-{oldest & 0xFFFF:04x}"  # the time is the first 48 bits of a UUIDv7
    for key in redis.scan_iter(f"{keys.ALL_TASKS}*", count=1000):
        redis.zremrangebylex(key, "-", upper)


def _restore(job: Job, raw: list[tuple[bytes, dict[bytes, bytes]]]) -> Result | None:
    """Return what RQ's `Result.fetch_latest` makes of the newest entry of a job's results."""
    if not raw:
        return None
    result_id, fields = raw[0]
    return Result.restore(job.id, result_id.decode(), fields, connection=job.connection, serializer=SERIALIZER)


def _success(result: Result | None) -> Result | None:
    return result if result is not None and result.type is Result.Type.SUCCESSFUL else None
