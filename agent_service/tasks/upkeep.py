"""A worker's standing with RQ: its birth and death, its heartbeats, and what all workers do for their queue in turn."""

from __future__ import annotations

import time
from collections.abc import Iterable

from redis import Redis
from redis.client import Pipeline
from rq.executions import Execution
from rq.suspension import is_suspended
from rq.worker import WorkerStatus

from agent_service.settings import Settings
from agent_service.tasks.broker import Broker
from agent_service.tasks.queries import forget_old_ids
from agent_service.tasks.rq_worker import RqWorker
from agent_service.tasks.scheduling import Scheduling

FORGET_SECONDS = 3600


class Upkeep:
    """Registers a worker and keeps its queue in order."""

    def __init__(self, worker: RqWorker, settings: Settings) -> None:
        self._worker = worker
        self._settings = settings
        self._redis: Redis = worker.connection
        self._queue = Broker(self._redis).queue(worker.queues[0].name)
        self._scheduling = Scheduling(self._redis, self._queue.name)
        self._forgot_at = time.monotonic()

    def register(self) -> None:
        """Enter the worker into RQ's books and listen to RQ's commands.

        Raises:
            RedisError: Redis is away.
        """
        self._worker.register_birth()
        self._worker.subscribe()
        self._worker.set_state(WorkerStatus.IDLE)
        self._worker.heartbeat()

    def unregister(self) -> None:
        """Take the worker out of the books.

        Raises:
            RedisError: Redis is away.
        """
        self._scheduling.release()
        self._worker.unsubscribe()
        self._worker.register_death()

    def beat(self, running: Iterable[tuple[str, str]]) -> None:
        """Tell that the worker lives, and each task that it runs.

        Args:
            running: Task id and execution id of every run.

        Raises:
            RedisError: Redis is away.
        """
        runs = list(running)
        with self._redis.pipeline() as pipeline:
            self._worker.heartbeat(pipeline=pipeline)
            for task_id, execution_id in runs:
                self._beat_task(pipeline, task_id, execution_id)
            created = pipeline.execute()[0]
        if created:  # the hash had expired while Redis was out of reach; write it whole again
            self._redis.hset(self._worker.key, mapping=self._worker.serialize())  # type: ignore[arg-type]
            self._worker.set_state(WorkerStatus.BUSY if runs else WorkerStatus.IDLE)

    def _beat_task(self, pipeline: Pipeline, task_id: str, execution_id: str) -> None:
        execution = Execution(execution_id, task_id, self._redis, worker_name=self._worker.name)
        execution.heartbeat(self._queue.started_job_registry, self._worker.ttl, pipeline=pipeline)

    def enqueue_scheduled(self) -> None:
        """Move tasks whose time has come into the queue, if this worker is the one that does so.

        Raises:
            RedisError: Redis is away.
        """
        self._scheduling.enqueue_due()

    def is_suspended(self) -> bool:
        """Return whether `rq suspend` was said.

        Raises:
            RedisError: Redis is away.
        """
        return bool(is_suspended(self._redis))

    def clean(self) -> None:
        """Settle what dead workers left, drop what has expired.

        Raises:
            RedisError: Redis is away.
        """
        self._worker.clean_registries()
        self._worker.clean_group_registries()
        now = time.monotonic()
        if now - self._forgot_at >= FORGET_SECONDS:
            forget_old_ids(self._redis, self._settings, round(time.time() * 1000))
            self._forgot_at = now
