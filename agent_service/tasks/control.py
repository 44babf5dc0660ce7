"""Cancels, stops and retries tasks."""

from __future__ import annotations

from redis.client import Pipeline
from redis.exceptions import WatchError
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation
from rq.job import Job
from rq.rate_limit import RateLimitRegistry
from rq.registry import CanceledJobRegistry, FailedJobRegistry

from agent_service.settings import Settings
from agent_service.tasks.broker import Broker
from agent_service.tasks.errors import InvalidTransitionError
from agent_service.tasks.jobs import SERIALIZER, STOP_FIELD, TaskJob, read_meta, task_status
from agent_service.tasks.journal import Journal
from agent_service.tasks.models import Task, TaskStatus
from agent_service.tasks.queries import TaskReader
from agent_service.telemetry import contract
from agent_service.telemetry.contract import Outcome
from agent_service.telemetry.metrics import Counters


class TaskControl:
    """Ends tasks early and starts ended ones again."""

    def __init__(self, broker: Broker, settings: Settings, metrics: Counters, journal: Journal) -> None:
        self._broker = broker
        self._settings = settings
        self._metrics = metrics
        self._journal = journal
        self._reader = TaskReader(broker)

    def cancel(self, task_id: str) -> Task:
        """Take a waiting task out of its queue for good, or ask the worker of a running one to stop it.

        A stop takes effect within seconds: an async agent is canceled at its next await, a sync one is interrupted,
        and one that ignores both is killed. A task that was canceled or stopped before is returned as it is.

        Raises:
            TaskNotFoundError: There is no such task.
            InvalidTransitionError: The task has finished or failed.
            RedisError: Redis is away.
        """
        while True:
            job = self._broker.fetch(task_id)
            status = task_status(job.get_status(refresh=False))
            if status in {TaskStatus.CANCELED, TaskStatus.STOPPED}:
                break
            if status.is_final:
                raise InvalidTransitionError(f"task {task_id} is {status} already; only waiting and running tasks end")
            if status is TaskStatus.STARTED:
                self._stop(job)
                break
            if self._cancel_waiting(job):
                break
        return self._reader.get(task_id)

    def retry(self, task_id: str) -> Task:
        """Put a task that failed, was stopped or was canceled into its queue again, with all its retries.

        Raises:
            TaskNotFoundError: There is no such task.
            InvalidTransitionError: The task is in another state.
            RedisError: Redis is away.
        """
        job = self._broker.fetch(task_id)
        status = task_status(job.get_status(refresh=False))
        registries = {
            TaskStatus.FAILED: FailedJobRegistry,
            TaskStatus.STOPPED: FailedJobRegistry,
            TaskStatus.CANCELED: CanceledJobRegistry,
        }
        if status not in registries:
            raise InvalidTransitionError(f"task {task_id} is {status}; only failed, stopped and canceled tasks retry")
        meta = read_meta(job)
        meta.error = None
        job.meta = meta.dump()
        job.retries_left = meta.retries or None
        redis = self._broker.redis
        redis.hdel(job.key, STOP_FIELD)
        redis.persist(job.key)
        registry = registries[status](job.origin, redis, job_class=TaskJob, serializer=SERIALIZER)
        try:
            registry.requeue(job)
        except InvalidJobOperation:
            raise InvalidTransitionError(f"task {task_id} was retried by somebody else at this moment") from None
        pipeline = redis.pipeline()
        self._journal.add_status(pipeline, task_id, TaskStatus.QUEUED)
        pipeline.execute()
        return self._reader.get(task_id)

    def _stop(self, job: Job) -> None:
        # The mark outlives the message: an attempt that ends at this very moment is not followed by another.
        self._broker.redis.hset(job.key, STOP_FIELD, "1")
        send_stop_job_command(self._broker.redis, job.id, serializer=SERIALIZER)

    def _cancel_waiting(self, job: Job) -> bool:
        """Cancel a task that does not run; False when a worker or the scheduler was faster."""
        pipeline = self._broker.redis.pipeline()
        try:
            pipeline.watch(job.key)
            status: bytes | None = pipeline.hget(job.key, "status")  # type: ignore[assignment]
            if status != job.get_status(refresh=False).value.encode():
                return False
            self._write_cancel(job, pipeline)
            pipeline.execute()
        except WatchError:
            return False
        finally:
            pipeline.reset()
        if job.has_rate_limit:
            RateLimitRegistry.from_job(job).cancel(job.id)
        release_dependents(self._broker, job)
        self._metrics.count(
            contract.TASKS, agent=read_meta(job).agent, queue=job.origin, outcome=Outcome.CANCELED.value
        )
        return True

    def _write_cancel(self, job: Job, pipeline: Pipeline) -> None:
        """Write what `Job.cancel` writes; that refuses a caller's pipeline for tasks with a concurrency limit."""
        limit, job.rate_limit_key = job.rate_limit_key, None
        try:
            pipeline.multi()
            job.cancel(pipeline=pipeline)
        finally:
            job.rate_limit_key = limit
        pipeline.expire(job.key, self._settings.failure_ttl_seconds)
        self._journal.add_status(pipeline, job.id, TaskStatus.CANCELED)


def release_dependents(broker: Broker, job: Job) -> None:
    """Let the tasks that come after this one go on, though it was canceled or stopped.

    RQ lets a failed dependency pass where that is allowed, but never a canceled or stopped one. What comes after a
    task here is a workflow's coordinator, which must hear of every end.
    """
    dependents = [dependent.decode() for dependent in broker.redis.smembers(job.dependents_key)]  # type: ignore[union-attr]
    for dependent in broker.fetch_many(dependents) if dependents else []:
        if dependent is not None:
            broker.redis.srem(dependent.dependencies_key, job.id)
    if dependents:
        broker.queue(job.origin).enqueue_dependents(job, exclude_job_id=job.id)
