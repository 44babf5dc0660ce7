"""The queue server as the rest of this room uses it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import cast

from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job

from agent_service.tasks import keys
from agent_service.tasks.errors import TaskNotFoundError
from agent_service.tasks.jobs import SERIALIZER, TaskJob
from agent_service.tasks.links import Links

NO_LINKS = Links()


class Broker:
    """Queues and jobs of one Redis server.

    Attributes:
        redis: The client; RQ needs one that returns bytes.
        links: Makes the links of tasks to other tools.
    """

    def __init__(self, redis: Redis, links: Links = NO_LINKS) -> None:
        self.redis = redis
        self.links = links
        self._queues: dict[str, Queue] = {}

    def queue(self, name: str) -> Queue:
        """Return the queue of that name; it exists as soon as something is put into it."""
        if name not in self._queues:
            self._queues[name] = Queue(name, connection=self.redis, job_class=TaskJob, serializer=SERIALIZER)
        return self._queues[name]

    def fetch(self, task_id: str) -> TaskJob:
        """Return the job of a task.

        Raises:
            TaskNotFoundError: There is none of that id.
        """
        try:
            return cast("TaskJob", TaskJob.fetch(task_id, connection=self.redis, serializer=SERIALIZER))
        except (NoSuchJobError, ValueError):  # ValueError: characters that no job id has
            raise TaskNotFoundError(task_id) from None

    def fetch_many(self, task_ids: Iterable[str]) -> list[TaskJob | None]:
        """Return the jobs of several tasks in one round trip, None where there is none."""
        jobs = TaskJob.fetch_many(task_ids, connection=self.redis, serializer=SERIALIZER)
        return cast("list[TaskJob | None]", jobs)

    def statuses(self, task_ids: Iterable[str]) -> list[str | None]:
        """Return RQ's status of several tasks in one round trip, None where there is no such task."""
        pipeline = self.redis.pipeline(transaction=False)
        for task_id in task_ids:
            pipeline.hget(Job.key_for(task_id), "status")
        return [raw.decode() if raw else None for raw in pipeline.execute()]

    def places(self, task_ids: Iterable[str]) -> list[tuple[str | None, str]]:
        """Return RQ's status and the queue of several tasks in one round trip; no status where there is no task."""
        pipeline = self.redis.pipeline(transaction=False)
        for task_id in task_ids:
            pipeline.hmget(Job.key_for(task_id), "status", "origin")
        return [
            (status.decode() if status else None, queue.decode() if queue else "")
            for status, queue in pipeline.execute()
        ]


def index(pipeline: Pipeline, tasks: Iterable[tuple[str, str]]) -> None:
    """Enter tasks, each by its id and its agent, into the lists that `GET /tasks` pages through."""
    entries: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for task_id, agent in tasks:
        entries[keys.ALL_TASKS][task_id] = entries[keys.tasks_of(agent)][task_id] = 0
    for key, members in entries.items():
        pipeline.zadd(key, members)
