"""Reads tasks: one, or a page of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

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
        self,
        *,
        agent: str | None = None,
        status: TaskStatus | None = None,
        queue: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
        scan: int = SCAN_LIMIT,
    ) -> TaskPage:
        """Return tasks without their input and result, newest first.

        Args:
            agent: Only this agent's.
            status: Only those in this state.
            queue: Only those of this queue.
            since: Only those submitted at this moment or later, to the millisecond.
            until: Only those submitted before this moment.
            limit: Most tasks that are wanted.
            cursor: `next_cursor` of the page before.
            scan: Ids that are looked at at most.

        Raises:
            RedisError: Redis is away.
        """
        found: list[str] = []
        seen = 0
        last = None
        window = _Window.of(agent, since, until, cursor)
        # Without a filter each id counts, so no more are asked for than are wanted.
        chunk = CHUNK if status or queue else min(CHUNK, limit)
        for task_id, task_status_now, queue_now in self._walk(window, chunk):
            seen += 1
            last = task_id
            if (status is None or task_status_now is status) and (queue is None or queue_now == queue):
                found.append(task_id)
            if len(found) == limit or seen == scan:
                break
        more = last if len(found) == limit or seen == scan else None
        jobs = [job for job in self._broker.fetch_many(found) if job is not None] if found else []
        return TaskPage(tasks=[to_task(job, self._broker.links, whole=False) for job in jobs], next_cursor=more)

    def starting_with(self, prefix: str, limit: int) -> list[str]:
        """Return ids of tasks that begin so, oldest first; some may have expired.

        Raises:
            RedisError: Redis is away.
        """
        raw: list[bytes] = self._broker.redis.zrangebylex(  # type: ignore[assignment]
            keys.ALL_TASKS, f"[{prefix}", f"({prefix}\x7f", start=0, num=limit
        )
        return [task_id.decode() for task_id in raw]

    def _walk(self, window: _Window, chunk: int) -> Iterator[tuple[str, TaskStatus, str]]:
        """Yield ids, states and queues, newest first, dropping ids whose task has expired."""
        redis = self._broker.redis
        upper = window.upper
        while True:
            raw: list[bytes] = redis.zrevrangebylex(window.key, upper, window.lower, start=0, num=chunk)  # type: ignore[assignment]
            ids = [task_id.decode() for task_id in raw]
            if not ids:
                return
            upper = f"({ids[-1]}"
            places = self._broker.places(ids)
            gone = [task_id for task_id, (status, _) in zip(ids, places, strict=True) if status is None]
            if gone:
                redis.zrem(window.key, *gone)
            for task_id, (status, queue) in zip(ids, places, strict=True):
                if status is not None:
                    yield task_id, task_status(status), queue


@dataclass(frozen=True, slots=True)
class _Window:
    """A stretch of the sorted set of ids, in the notation of its lexicographic commands."""

    key: str
    upper: str
    lower: str

    @classmethod
    def of(cls, agent: str | None, since: datetime | None, until: datetime | None, cursor: str | None) -> _Window:
        bounds = [f"({bound}" for bound in (cursor, _first_id(until)) if bound]
        lower = _first_id(since)
        return cls(
            key=keys.tasks_of(agent) if agent else keys.ALL_TASKS,
            upper=min(bounds) if bounds else "+",
            lower=f"[{lower}" if lower else "-",
        )


def _first_id(moment: datetime | None) -> str | None:
    """Return what every UUIDv7 of that millisecond or later is not less than: its time is its first 48 bits."""
    if moment is None:
        return None
    milliseconds = min(max(0, round(moment.timestamp() * 1000)), 2**48 - 1)
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}"


def forget_old_ids(redis: Redis, settings: Settings, now_ms: int) -> None:
    """Trim the lists of ids by what is older than any task is kept.

    Args:
        redis: The client.
        settings: How long results and failures are kept.
        now_ms: Unix time in milliseconds.
    """
    kept_ms = 1000 * (max(settings.result_ttl_seconds, settings.failure_ttl_seconds) + 31 * 24 * 3600)
    upper = f"({_first_id(datetime.fromtimestamp(max(0, now_ms - kept_ms) / 1000, UTC))}"
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
