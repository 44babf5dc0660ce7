"""From a piece of work to a job in its queue: checked first, then put in together with its neighbours."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from opentelemetry import trace
from opentelemetry.context import Context as TraceContext
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import ValidationError
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, Retry
from rq.group import Group
from rq.job import Dependency, Job, JobStatus
from rq.rate_limit import RateLimit, RateLimitRegistry
from rq.registry import DeferredJobRegistry, ScheduledJobRegistry

from agent_service.agents import AgentDefinition, AgentRegistry
from agent_service.settings import Settings
from agent_service.tasks.broker import Broker, index
from agent_service.tasks.callbacks import check_callback
from agent_service.tasks.errors import InvalidInputError, QueueFullError, QueueUnavailableError
from agent_service.tasks.jobs import TASK_FUNCTION, TaskJob, TaskMeta, to_task
from agent_service.tasks.journal import Journal, PendingEntry
from agent_service.tasks.models import Submission, Task, TaskEventKind, TaskOptions, TaskStatus
from agent_service.telemetry import contract
from agent_service.telemetry.contract import Attribute
from agent_service.telemetry.identifiers import uuid7
from agent_service.telemetry.metrics import Counters

tracer = trace.get_tracer(__name__)
_propagator = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a task comes from.

    Attributes:
        submitted_by: The name of the API key.
        workflow_id: The workflow that it is a step of.
        parent_task_id: The task that submitted it.
        trace: The context its PRODUCER span is put under; None takes the current one.
    """

    submitted_by: str | None = None
    workflow_id: str | None = None
    parent_task_id: str | None = None
    trace: TraceContext | None = None


@dataclass(slots=True)
class PreparedTask:
    """A task that was checked and has its id and span, and waits to be put into its queue."""

    id: str
    definition: AgentDefinition[Any, Any]
    payload: dict[str, Any]
    options: TaskOptions
    meta: TaskMeta
    timeout: int
    retry: Retry | None
    span: Span
    after: tuple[str, ...] = ()

    @property
    def queue(self) -> str:
        """The queue it goes to."""
        return self.definition.queue

    @property
    def goes_alone(self) -> bool:
        """Whether it takes a transaction of its own, since RQ reads before it writes there."""
        return bool(self.after) or self.definition.concurrency is not None

    def end_span(self, error: Exception | None = None) -> None:
        """Close the PRODUCER span, once the task is in its queue or is known not to be; a second call does nothing."""
        if not self.span.is_recording():
            return
        if error:
            self.span.set_attribute(Attribute.ERROR_TYPE, type(error).__qualname__)
            self.span.set_status(Status(StatusCode.ERROR, str(error)))
        self.span.end()


class Submitter:
    """Checks work and puts it into its queue."""

    def __init__(
        self, broker: Broker, agents: AgentRegistry, settings: Settings, metrics: Counters, journal: Journal
    ) -> None:
        self.broker = broker
        self._agents = agents
        self._settings = settings
        self._metrics = metrics
        self._journal = journal
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret

    def prepare(
        self,
        submission: Submission,
        origin: Origin = Origin(),
        *,
        after: Iterable[str] = (),
        task_id: str | None = None,
    ) -> PreparedTask:
        """Check a piece of work and start its PRODUCER span.

        Args:
            submission: The work.
            origin: Where it comes from.
            after: Ids of tasks that must have ended, well or not, before it is started.
            task_id: An id made earlier with `uuid7`.

        Raises:
            UnknownAgentError: There is no such agent.
            InvalidInputError: The agent refuses the input.
            InvalidCallbackError: The callback URL may not be called.
        """
        definition = self._agents[submission.agent]
        options = submission.options
        payload = _check_input(definition, submission.input)
        if options.callback_url:
            check_callback(options.callback_url, allow_private=self._settings.callback_allow_private)
        task_id = task_id or uuid7()
        retry = self._retry(definition, options)
        span = self._start_span(definition, task_id, origin)
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(span, origin.trace))
        meta = TaskMeta(
            agent=definition.name,
            agent_version=definition.version,
            submitted_at=datetime.now(UTC),
            submitted_by=origin.submitted_by,
            traceparent=carrier.get("traceparent"),
            tracestate=carrier.get("tracestate"),
            retries=retry.max if retry else 0,
            workflow_id=origin.workflow_id,
            parent_task_id=origin.parent_task_id,
            callback_url=options.callback_url,
            metadata=options.metadata,
            profile=options.profile,
        )
        timeout = options.timeout_seconds or definition.timeout or self._settings.default_timeout_seconds
        return PreparedTask(task_id, definition, payload, options, meta, timeout, retry, span, tuple(after))

    def check_capacity(self, prepared: Sequence[PreparedTask]) -> None:
        """Refuse tasks whose queue is full already.

        Raises:
            QueueFullError: A queue holds as many tasks as it may.
            QueueUnavailableError: Redis is away.
        """
        for task in prepared:
            if self.depth(task.queue) >= self._settings.max_queue_tasks:
                full = QueueFullError(task.queue, self._settings.max_queue_tasks)
                task.end_span(full)
                raise full

    def depth(self, queue: str) -> int:
        """Return how many tasks of a queue wait: for a worker, for their time, for others, or for a slot.

        Raises:
            QueueUnavailableError: Redis is away.
        """
        redis = self.broker.redis
        pipeline = redis.pipeline(transaction=False)
        pipeline.llen(self.broker.queue(queue).key)
        for registry in (ScheduledJobRegistry, DeferredJobRegistry):
            pipeline.zcard(registry.key_template.format(queue))
        for agent in self._agents.values():
            if agent.queue == queue and agent.concurrency:
                pipeline.zcard(RateLimitRegistry(agent.name, redis).rate_limited_key)
        try:
            return sum(int(count) for count in pipeline.execute())
        except RedisError as error:
            raise QueueUnavailableError(f"the queue server does not answer: {error}") from error

    def submit(self, submission: Submission, origin: Origin = Origin()) -> Task:
        """Check one piece of work and put it into its queue.

        Raises:
            UnknownAgentError, InvalidInputError, InvalidCallbackError, QueueUnavailableError: See `prepare`, `enqueue`.
        """
        return self.enqueue([self.prepare(submission, origin)])[0]

    def enqueue(self, prepared: Sequence[PreparedTask], pipeline: Pipeline | None = None) -> list[Task]:
        """Put tasks into their queues, all in one transaction, and return them in the same order.

        Those that go alone follow, each in its own; what fails there says nothing of the others.

        Args:
            prepared: The tasks.
            pipeline: A transaction that already holds writes of the caller, to be executed with the first.

        Raises:
            QueueUnavailableError: Redis is away. What was not in its queue by then is not acknowledged.
        """
        pipeline = pipeline if pipeline is not None else self.broker.redis.pipeline()
        try:
            jobs = self._put_together(prepared, pipeline)
            pipeline.execute()
            jobs |= self._put_alone(prepared)
        except RedisError as error:
            failure = QueueUnavailableError(f"the queue server does not answer: {error}")
            for task in prepared:
                task.end_span(failure)
            raise failure from error
        for task in prepared:
            task.end_span()
            self._metrics.count(contract.TASKS_SUBMITTED, agent=task.meta.agent, queue=task.queue)
        return [to_task(cast("TaskJob", jobs[task.id]), self.broker.links) for task in prepared]

    def _put_together(self, prepared: Sequence[PreparedTask], pipeline: Pipeline) -> dict[str, Job]:
        """Put everything that RQ can write blindly onto one pipeline."""
        jobs: dict[str, Job] = {}
        ready: defaultdict[str, list[PreparedTask]] = defaultdict(list)
        index(pipeline, [(task.id, task.meta.agent) for task in prepared])
        self._journal.add_many(pipeline, [_queued_entry(task) for task in prepared])
        for task in prepared:
            if task.meta.workflow_id:
                _join_group(pipeline, task.meta.workflow_id, task.id)
            if task.goes_alone:
                continue
            if task.options.delay_seconds:
                jobs[task.id] = self._schedule(task, pipeline)
            else:
                ready[task.queue].append(task)
        for name, tasks in ready.items():
            jobs |= self._put_ready(self.broker.queue(name), tasks, pipeline)
        return jobs

    def _put_ready(self, queue: Queue, tasks: Sequence[PreparedTask], pipeline: Pipeline) -> dict[str, Job]:
        """Write what `Queue.enqueue_many` writes, with one command for the ids of all where that has one for each."""
        pipeline.sadd(queue.redis_queues_keys, queue.key)
        jobs = {}
        for task in tasks:
            job = jobs[task.id] = self._job(task, queue)
            queue._prepare_for_queue(job)  # noqa: SLF001 - what enqueuing by RQ begins with
            job.save(pipeline=pipeline)
        for push, is_urgent in ((pipeline.rpush, False), (pipeline.lpush, True)):
            ids = [task.id for task in tasks if (task.options.priority == "high") == is_urgent]
            if ids:
                push(queue.key, *ids)
        return jobs

    def _put_alone(self, prepared: Sequence[PreparedTask]) -> dict[str, Job]:
        """Put in the tasks for which RQ must read first, one by one."""
        jobs = {}
        for task in prepared:
            if not task.goes_alone:
                continue
            queue = self.broker.queue(task.queue)
            job = self._job(task, queue)
            if task.options.delay_seconds:
                jobs[task.id] = queue.schedule_job(job, _start_of(task))
            else:
                jobs[task.id] = queue.enqueue_job(job, at_front=task.options.priority == "high")
        return jobs

    def _schedule(self, task: PreparedTask, pipeline: Pipeline) -> Job:
        queue = self.broker.queue(task.queue)
        return queue.schedule_job(self._job(task, queue), _start_of(task), pipeline=pipeline)

    def _job(self, task: PreparedTask, queue: Queue) -> Job:
        limit = task.definition.concurrency
        return queue.create_job(
            TASK_FUNCTION,
            group_id=task.meta.workflow_id,
            depends_on=_dependency(task),
            rate_limit=RateLimit(task.meta.agent, limit) if limit else None,
            # Not deferred, even where there are dependencies: RQ makes it so, unless all of them have ended by now.
            status=JobStatus.QUEUED,
            **self._options(task),
        )

    def _options(self, task: PreparedTask) -> dict[str, Any]:
        """Return what RQ is told of every task, however it is put into its queue."""
        return {
            "kwargs": {"agent": task.meta.agent, "payload": task.payload},
            "timeout": task.timeout,
            "result_ttl": self._settings.result_ttl_seconds,
            "failure_ttl": self._settings.failure_ttl_seconds,
            "description": task.meta.agent,
            "job_id": task.id,
            "meta": task.meta.dump(),
            "retry": task.retry,
        }

    def _retry(self, definition: AgentDefinition[Any, Any], options: TaskOptions) -> Retry | None:
        policy = definition.retries
        waits = policy.waits(self._rng)
        if options.retries is not None:
            last = waits[-1] if waits else int(policy.base.total_seconds())
            waits = (waits + [last] * options.retries)[: options.retries]
        return Retry(max=len(waits), interval=waits) if waits else None

    def _start_span(self, definition: AgentDefinition[Any, Any], task_id: str, origin: Origin) -> Span:
        attributes: dict[str, str] = {
            Attribute.MESSAGING_SYSTEM: contract.MESSAGING_SYSTEM,
            Attribute.MESSAGING_DESTINATION: definition.queue,
            Attribute.MESSAGING_OPERATION_NAME: "send",
            Attribute.MESSAGING_OPERATION_TYPE: "send",
            Attribute.MESSAGING_MESSAGE_ID: task_id,
            Attribute.TASK_ID: task_id,
            Attribute.AGENT_NAME: definition.name,
        }
        if origin.workflow_id:
            attributes[Attribute.WORKFLOW_ID] = origin.workflow_id
        return tracer.start_span(
            contract.send_span(definition.queue), context=origin.trace, kind=SpanKind.PRODUCER, attributes=attributes
        )


def _check_input(definition: AgentDefinition[Any, Any], payload: dict[str, Any]) -> dict[str, Any]:
    """Return the input as the agent's model reads it, defaults filled in."""
    try:
        model = definition.input_model.model_validate(payload)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidInputError(f"agent {definition.name!r}", [dict(entry) for entry in errors]) from error
    checked: dict[str, Any] = model.model_dump(mode="json")
    return checked


def _dependency(task: PreparedTask) -> Dependency | None:
    if not task.after:
        return None
    at_front = task.options.priority == "high"
    return Dependency(list(task.after), allow_failure=True, enqueue_at_front=at_front)


def _start_of(task: PreparedTask) -> datetime:
    """Return when a delayed task may start: no earlier than it asked for, in the whole seconds that RQ keeps."""
    moment = datetime.now(UTC) + timedelta(seconds=task.options.delay_seconds)
    return moment if moment.microsecond == 0 else moment.replace(microsecond=0) + timedelta(seconds=1)


def _queued_entry(task: PreparedTask) -> PendingEntry:
    """Return the first entry of a task's journal."""
    status = TaskStatus.SCHEDULED if task.options.delay_seconds else TaskStatus.QUEUED
    status = TaskStatus.DEFERRED if task.after else status
    moment = task.meta.submitted_at.isoformat()
    return task.id, TaskEventKind.STATUS, moment, {"status": status, "at_attempt": 0}


def _join_group(pipeline: Pipeline, name: str, task_id: str) -> None:
    """Make the task a member of an RQ group, as `Group` does, but on the caller's pipeline."""
    pipeline.sadd(Group.get_key(name), task_id)
    pipeline.sadd(Group.REDIS_GROUP_KEY, name)
