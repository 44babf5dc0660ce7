"""How full the queues are and who works on them, as the metrics tell it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pydantic import BaseModel
from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.job import Job
from rq.rate_limit import RateLimitRegistry
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ReadyJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq.utils import utcparse

from agent_service.agents import AgentRegistry
from agent_service.tasks import keys
from agent_service.tasks.workers import live_workers
from agent_service.telemetry import contract
from agent_service.telemetry.contract import QueueState, WorkerState
from agent_service.telemetry.metrics import Sample

SHARED_MILLISECONDS = 2_000
"""Processes scraped within this time share one reading."""

_REGISTRIES = (
    (QueueState.STARTED, StartedJobRegistry),
    (QueueState.DEFERRED, DeferredJobRegistry),
    (QueueState.DEFERRED, ReadyJobRegistry),
    (QueueState.SCHEDULED, ScheduledJobRegistry),
    (QueueState.FAILED, FailedJobRegistry),
    (QueueState.FINISHED, FinishedJobRegistry),
    (QueueState.CANCELED, CanceledJobRegistry),
)


_STATES = {state.value: state for state in WorkerState}


class QueueStats(BaseModel):
    """One reading of all queues.

    Attributes:
        tasks: Tasks by queue and state.
        oldest_seconds: How long the head of each queue has waited.
        workers: Live workers by queue and state.
    """

    tasks: dict[str, dict[QueueState, int]]
    oldest_seconds: dict[str, float]
    workers: dict[str, dict[WorkerState, int]]


class QueueGauges:
    """Gives the gauges of the queues at a scrape."""

    def __init__(self, redis: Redis, agents: AgentRegistry, queues: tuple[str, ...]) -> None:
        """Watch the queues of `agents`, those named in `queues`, and any that RQ knows.

        Args:
            redis: The client.
            agents: Whose queues are shown even while they are empty.
            queues: Further names, such as those that workers serve.
        """
        self._redis = redis
        self._agents = agents
        self._named = {*queues, *(agents[name].queue for name in agents)}

    def samples(self) -> Iterator[Sample]:
        """Yield every sample.

        Raises:
            RedisError: Redis is away.
        """
        stats = self.read()
        for queue, states in stats.tasks.items():
            for state, count in states.items():
                yield Sample(contract.QUEUE_TASKS, count, {"queue": queue, "state": state.value})
        for queue, seconds in stats.oldest_seconds.items():
            yield Sample(contract.QUEUE_OLDEST_TASK, seconds, {"queue": queue})
        for queue, workers in stats.workers.items():
            for worker_state, count in workers.items():
                yield Sample(contract.WORKERS, count, {"queue": queue, "state": worker_state.value})

    def read(self) -> QueueStats:
        """Return the reading of a moment ago, or a new one that others may share.

        Raises:
            RedisError: Redis is away.
        """
        kept: bytes | None = self._redis.get(keys.QUEUE_STATS)  # type: ignore[assignment]
        if kept:
            return QueueStats.model_validate_json(kept)
        stats = self.measure()
        self._redis.set(keys.QUEUE_STATS, stats.model_dump_json(), px=SHARED_MILLISECONDS)
        return stats

    def measure(self) -> QueueStats:
        """Return a new reading.

        Raises:
            RedisError: Redis is away.
        """
        names = sorted(self._named | {queue.name for queue in Queue.all(connection=self._redis)})
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            _ask(pipeline, name)
        answers = iter(pipeline.execute())
        tasks, heads = {}, {}
        for name in names:
            tasks[name], heads[name] = _read(answers)
        for name, waiting in self._held_back():
            tasks[name][QueueState.DEFERRED] += waiting
        return QueueStats(tasks=tasks, oldest_seconds=self._ages(heads), workers=self._workers(names))

    def _held_back(self) -> Iterator[tuple[str, int]]:
        """Yield queue and number of the tasks that wait for a slot of their agent's concurrency limit."""
        for registry in RateLimitRegistry.all(self._redis):
            agent = registry.key.rpartition(":")[2]
            if agent in self._agents:
                yield self._agents[agent].queue, registry.get_rate_limited_job_count()

    def _ages(self, heads: dict[str, bytes | None]) -> dict[str, float]:
        pipeline = self._redis.pipeline(transaction=False)
        waiting = [name for name, head in heads.items() if head]
        for name in waiting:
            pipeline.hget(Job.key_for((heads[name] or b"").decode()), "enqueued_at")
        ages = dict.fromkeys(heads, 0.0)
        for name, raw in zip(waiting, pipeline.execute(), strict=True):
            if raw:
                ages[name] = max(0.0, time.time() - utcparse(raw.decode()).timestamp())
        return ages

    def _workers(self, queues: list[str]) -> dict[str, dict[WorkerState, int]]:
        counts = {queue: dict.fromkeys(WorkerState, 0) for queue in queues}
        for worker in live_workers(self._redis):
            state = _STATES.get(worker.state, WorkerState.IDLE)
            for queue in worker.queue.split(","):
                counts.setdefault(queue, dict.fromkeys(WorkerState, 0))[state] += 1
        return counts


def _ask(pipeline: Pipeline, name: str) -> None:
    key = f"{Queue.redis_queue_namespace_prefix}{name}"
    pipeline.llen(key)
    pipeline.lindex(key, 0)
    for state, registry in _REGISTRIES:
        # Finished and failed entries past their time stay until the next cleaning; they are not counted.
        lowest: float | str = time.time() if state in {QueueState.FINISHED, QueueState.FAILED} else "-inf"
        pipeline.zcount(registry.key_template.format(name), lowest, "+inf")


def _read(answers: Iterator[object]) -> tuple[dict[QueueState, int], bytes | None]:
    counts = dict.fromkeys(QueueState, 0)
    counts[QueueState.QUEUED] = _number(next(answers))
    head = next(answers)
    for state, _ in _REGISTRIES:
        counts[state] += _number(next(answers))
    return counts, head if isinstance(head, bytes) else None


def _number(answer: object) -> int:
    if not isinstance(answer, int):
        raise TypeError(f"Redis counted {answer!r}")
    return answer
