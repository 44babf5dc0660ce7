"""RQ's worker, as far as it keeps the books: its hash, heartbeats, commands and the cleaning of registries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis import Redis
from redis.client import Pipeline
from rq import worker_registration
from rq.command import parse_payload
from rq.executions import Execution
from rq.job import Job
from rq.registry import StartedJobRegistry, clean_registries
from rq.scripts import release_lock
from rq.timeouts import TimerDeathPenalty
from rq.worker import Worker

from agent_service.agents import agent_module_names
from agent_service.settings import Settings
from agent_service.tasks.broker import Broker
from agent_service.tasks.connection import REPLY_SECONDS
from agent_service.tasks.jobs import SERIALIZER, TaskJob, read_meta
from agent_service.tasks.models import TaskError
from agent_service.tasks.workers import METRICS_FIELD

CLEANING_SECONDS = 30
"""Far longer than a cleaning takes; how long one that broke off holds up the next."""
STUCK_SECONDS = 10
"""An id that was popped so long ago and is not started belonged to a worker that died in between."""

Command = Mapping[str, Any]

# The registry calls the failure callbacks of abandoned jobs; ours is cleaned from a thread, where signals do not go.
StartedJobRegistry.death_penalty_class = TimerDeathPenalty  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class AbandonedTask:
    """A task whose worker died as a whole.

    Attributes:
        worker: The name of the worker that died.
        will_retry: Whether it is tried again.
    """

    id: str
    agent: str
    agent_id: str
    workflow_id: str | None
    worker: str | None
    will_retry: bool

    @classmethod
    def of(cls, job: Job) -> AbandonedTask:
        """Return what is known of the task of a job."""
        meta = read_meta(job)
        agent_id = f"{meta.agent}@{meta.agent_version}"
        return cls(job.id, meta.agent, agent_id, meta.workflow_id, job.worker_name, job.should_retry)


class RqWorker(Worker):
    """RQ's worker without its work loop; the supervisor and its child each hold one, under the same name."""

    job_class = TaskJob

    def __init__(
        self,
        redis: Redis,
        queue: str,
        name: str,
        settings: Settings,
        *,
        metrics_address: str | None = None,
        on_command: Callable[[Command], None] | None = None,
        on_abandoned: Callable[[AbandonedTask], None] | None = None,
    ) -> None:
        """Prepare the books of one worker; nothing is written yet.

        Args:
            redis: The client.
            queue: The one queue it serves.
            name: Its name in RQ.
            settings: Heartbeat interval.
            metrics_address: `host:port` where Prometheus reads it.
            on_command: Called with each of RQ's commands (stop a task, shut down), from a thread.
            on_abandoned: Called with each task whose worker died, before it is retried or failed.
        """
        self.ttl = max(15, round(4 * settings.worker_heartbeat_seconds))
        self.metrics_address = metrics_address
        self._on_command = on_command
        self._on_abandoned = on_abandoned
        TaskJob.callback_modules = frozenset(agent_module_names(settings.agent_modules, faults=settings.fault_agents))
        super().__init__(
            [Broker(redis).queue(queue)],
            name=name,
            connection=redis,
            worker_ttl=self.ttl,
            default_result_ttl=settings.result_ttl_seconds,
            serializer=SERIALIZER,
            maintenance_interval=self.ttl,
            job_monitoring_interval=round(settings.worker_heartbeat_seconds) or 1,
            exception_handlers=[self._on_abandoned_job] if on_abandoned else None,
        )
        self.log_job_description = self.log_result_lifespan = False
        for logger in ("rq.worker", "rq.job", "rq.queue", "rq.scheduler"):
            logging.getLogger(logger).setLevel(logging.WARNING)

    @property
    def connection_timeout(self) -> int:
        """How long a silent connection is waited for; RQ's own seven minutes would hide a lost network."""
        return int(REPLY_SECONDS)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """Return after how many seconds without a heartbeat a running task counts as abandoned."""
        del job, working_time
        return self.ttl

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Tell that the worker lives."""
        super().heartbeat(timeout or self.ttl, pipeline=pipeline)

    def serialize(self) -> dict[str, Any]:
        """Return the worker's hash, our metrics address beside RQ's fields."""
        return {**super().serialize(), METRICS_FIELD: self.metrics_address or ""}

    def handle_payload(self, message: dict[Any, Any]) -> None:
        """Hand a command to the supervisor, which knows which process to tell."""
        if self._on_command:
            self._on_command(parse_payload(message))

    def clean_registries(self) -> None:
        """Settle what dead workers left: RQ's own cleaning, and a rescue of ids that were popped but never started.

        RQ fails such a task after minutes. It never ran, so here it goes back to the head of its queue.
        """
        for queue in self.queues:
            # RQ's own lock, but on a short lease: a worker that dies while it cleans, or finds Redis gone when it would
            # release it, must not keep all others from cleaning for the 15 minutes that RQ gives it.
            if self.connection.set(queue.registry_cleaning_key, self.name, nx=True, ex=CLEANING_SECONDS):
                try:
                    clean_registries(queue, self._exc_handlers)
                    worker_registration.clean_worker_registry(queue)
                    self._rescue(queue.name)
                finally:
                    release_lock(self.connection, queue.registry_cleaning_key, self.name)

    def _on_abandoned_job(self, job: Job, *_error: object) -> None:
        """Write down why the task failed, for RQ keeps only a line of its own, and tell of it."""
        meta = read_meta(job)
        meta.error = TaskError(type="WorkerDied", message=f"the worker {job.worker_name} died while it ran the task")
        job.meta = meta.dump()
        self.connection.hset(job.key, "meta", SERIALIZER.dumps(job.meta))
        if self._on_abandoned:
            self._on_abandoned(AbandonedTask.of(job))

    def _rescue(self, name: str) -> None:
        queue = Broker(self.connection).queue(name)
        intermediate = queue.intermediate_queue
        for task_id in intermediate.get_job_ids():
            if intermediate.set_first_seen(task_id):
                continue
            first_seen = intermediate.get_first_seen(task_id)
            if first_seen is None or (datetime.now(UTC) - first_seen).total_seconds() < STUCK_SECONDS:
                continue
            with self.connection.pipeline() as pipeline:
                pipeline.lrem(intermediate.key, 1, task_id)
                # A task that did start is known to a registry; only its left-over id is dropped.
                if self.connection.hget(Job.key_for(task_id), "status") == b"queued":
                    pipeline.lpush(queue.key, task_id)
                pipeline.delete(intermediate.get_first_seen_key(task_id))
                pipeline.execute()


def is_unsettled(redis: Redis, queue: str, execution: Execution | None) -> bool:
    """Return whether an attempt still stands in the registry of running ones.

    The transaction that settles an attempt takes it out of there, so this tells apart what a broken connection or a
    dead child left open. The execution's own hash would not do: it expires when heartbeats stop.
    """
    if execution is None:
        return False
    key = StartedJobRegistry.key_template.format(queue)
    return redis.zscore(key, execution.composite_key) is not None
