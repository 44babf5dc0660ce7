"""The books of running tasks: pop one, start it, and write down how it ended.

Both halves of a worker use it: the child for the tasks that it runs, the supervisor for those that a dead child left.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue, get_current_job
from rq.exceptions import DequeueTimeout, DeserializationError
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE, Execution
from rq.job import Job, JobStatus
from rq.utils import parse_composite_key
from rq.worker import WorkerStatus

from agent_service.tasks.broker import Broker
from agent_service.tasks.control import release_dependents
from agent_service.tasks.errors import TaskNotFoundError
from agent_service.tasks.jobs import (
    ATTEMPTS_FIELD,
    FIRST_PROCESS_FIELD,
    SERIALIZER,
    STOP_FIELD,
    TASK_FUNCTION,
    TaskJob,
    TaskMeta,
    read_meta,
    task_status,
)
from agent_service.tasks.journal import Journal
from agent_service.tasks.models import TaskError, TaskStatus
from agent_service.tasks.rq_worker import RqWorker, is_unsettled
from agent_service.telemetry.contract import Outcome

logger = logging.getLogger(__name__)
_Value = TypeVar("_Value")

PERSIST_SECONDS = 60.0
"""How long the end of a task is kept in hand while Redis is away, before its worker gives it up."""


@dataclass(slots=True)
class StartedTask:
    """A task that runs, as the books know it.

    Attributes:
        id: The task's id.
        queue: The name of its queue.
        execution_id: RQ's id of this run; empty in a stock RQ worker, which keeps that to itself.
        meta: What its job's `meta` holds.
        agent: The agent's name, or None for a job that is none of ours.
        payload: The agent's input as it was checked at submission.
        timeout: Longest run in seconds.
        attempt: Which run this is, from 1.
        ready_at: When it became ready to be started.
        started_at: When it was started.
        first_process: W3C context of the first run's span, once that run has failed.
        result_ttl: For how many seconds its result is kept.
        has_dependencies: Whether it waited for other tasks.
        is_usual: Whether its success is a result that is kept for a while, and nothing else.
        read_job: Returns RQ's job of it, always the same, for what only RQ's own methods can do.
    """

    id: str
    queue: str
    execution_id: str
    meta: TaskMeta
    agent: str | None
    payload: dict[str, Any]
    timeout: int
    attempt: int
    ready_at: datetime
    started_at: datetime
    first_process: str | None
    result_ttl: int
    has_dependencies: bool
    is_usual: bool
    read_job: Callable[[], TaskJob]

    @classmethod
    def of(cls, job: TaskJob, execution: Execution | None) -> StartedTask:
        """Return the run of a job that was read by RQ."""
        agent, payload = _call_of(job)
        return cls(
            id=job.id,
            queue=job.origin,
            execution_id=execution.id if execution else "",
            meta=read_meta(job),
            agent=agent,
            payload=payload,
            timeout=int(job.timeout or Queue.DEFAULT_TIMEOUT),
            attempt=job.attempts,
            ready_at=job.enqueued_at or job.created_at,
            started_at=execution.created_at if execution else datetime.now(UTC),
            first_process=job.first_process,
            result_ttl=job.result_ttl or 0,
            has_dependencies=bool(job._dependency_ids),  # noqa: SLF001 - the property asks Redis
            is_usual=False,
            read_job=lambda: job,
        )

    @property
    def job(self) -> TaskJob:
        """RQ's job."""
        return self.read_job()

    def count_attempt(self) -> None:
        """Count a run that a stock RQ worker has started.

        Raises:
            RedisError: Redis is away.
        """
        self.attempt = int(self.job.connection.hincrby(self.job.key, ATTEMPTS_FIELD, 1))

    def keep_error(self, error: TaskError | None) -> None:
        """Write why the run failed into the job of a stock RQ worker, which keeps a stack trace only.

        Raises:
            RedisError: Redis is away.
        """
        self.meta.error = error
        self.job.meta = self.meta.dump()
        self.job.save_meta()


@dataclass(frozen=True, slots=True)
class Success:
    """A run that returned a result, which is to be written down."""

    started: StartedTask
    result: dict[str, Any]


class Ledger:
    """Moves tasks from queued to started to their end, by RQ's own methods."""

    def __init__(self, worker: RqWorker, journal: Journal) -> None:
        self._worker = worker
        self._journal = journal
        self._broker = Broker(worker.connection)
        self._queue = worker.queues[0]
        self._failing = threading.Lock()
        self._busy = False

    def take(self, timeout: int | None, wanted: Callable[[], bool] = lambda: True) -> StartedTask | None:
        """Take the next task from the queue and write down that it runs.

        Args:
            timeout: Longest wait in whole seconds, at least 1; None looks once.
            wanted: Asked after a wait; when a task is no longer wanted it goes back to the head of its queue.

        Raises:
            RedisError: Redis is away. A task that was taken stays in the intermediate queue and is rescued from there.
        """
        try:
            popped = self._queue.dequeue_any(
                [self._queue], timeout, connection=self._broker.redis, job_class=TaskJob, serializer=SERIALIZER
            )
        except DequeueTimeout:
            return None
        if popped is None:
            return None
        job = popped[0]
        if not isinstance(job, TaskJob):
            raise TypeError(f"RQ gave a {type(job).__name__}")
        if not wanted():
            self._give_back(job.id)
            return None
        return self._start(job)

    def _give_back(self, task_id: str) -> None:
        with self._broker.redis.pipeline() as pipeline:
            pipeline.lrem(self._queue.intermediate_queue_key, 1, task_id)
            pipeline.lpush(self._queue.key, task_id)
            pipeline.execute()

    def _start(self, job: TaskJob) -> StartedTask | None:
        """Write down that a task runs, or return None when it was canceled or expired in the meantime.

        One transaction makes the execution, the state of the task and of the worker, and ends the task's stay in the
        intermediate queue, so that at any moment exactly one place knows of it.
        """
        worker = self._worker
        with worker.connection.pipeline() as pipeline:
            while True:
                try:
                    pipeline.watch(job.key)
                    status, stop = pipeline.hmget(job.key, "status", STOP_FIELD)
                    if status != JobStatus.QUEUED.value.encode() or stop:
                        self._broker.redis.lrem(self._queue.intermediate_queue_key, 1, job.id)
                        if stop:
                            self._turn_away(job)
                        return None
                    pipeline.multi()
                    execution = Execution.create(job, worker.ttl, pipeline=pipeline, worker_name=worker.name)
                    worker.set_state(WorkerStatus.BUSY, pipeline=pipeline)
                    job.prepare_for_execution(worker.name, pipeline=pipeline)
                    pipeline.hincrby(job.key, ATTEMPTS_FIELD, 1)
                    pipeline.persist(job.key)
                    pipeline.lrem(self._queue.intermediate_queue_key, 1, job.id)
                    self._journal.add_status(
                        pipeline, job.id, TaskStatus.STARTED, attempt=job.attempts + 1, worker=worker.name
                    )
                    pipeline.execute()
                except WatchError:
                    continue
                job.attempts += 1
                self._busy = True
                return StartedTask.of(job, execution)

    def _turn_away(self, job: TaskJob) -> None:
        """Cancel a task that somebody asked to stop between two of its runs."""
        if task_status(job.get_status()) is TaskStatus.QUEUED:
            job.cancel()
            release_dependents(self._broker, job)
            self._tell(job.id, TaskStatus.CANCELED)

    def rest(self) -> None:
        """Write down that the worker is idle, if it was busy before."""
        if self._busy:
            self._worker.set_state(WorkerStatus.IDLE)
            self._busy = False

    def check(self) -> None:
        """Ask Redis whether it is there.

        Raises:
            RedisError: It is not.
        """
        self._broker.redis.ping()

    def step(self, ends: Sequence[Success], wanted: int) -> list[StartedTask]:
        """Write the results of tasks, and take the next ones where there are any; never waits for one.

        Args:
            ends: The runs that succeeded, each one that `StartedTask.is_usual`; `finish` writes the others.
            wanted: How many tasks are to be taken at most; this ledger takes one, since the next may be one that
                must not run beside others.

        Raises:
            RedisError: Redis stayed away for a minute; the tasks of `ends` will be taken for abandoned.
        """
        for end in ends:
            self.finish(end.started, end.result)
        started = self.take(None) if wanted else None
        return [started] if started else []

    async def step_async(self, ends: Sequence[Success], wanted: int) -> list[StartedTask]:
        """Do the same from an event loop."""
        return await asyncio.to_thread(self.step, ends, wanted)

    async def wait_async(self, seconds: int, wanted: Callable[[], int]) -> list[StartedTask]:
        """Wait for a task in an event loop, and take it and more.

        Args:
            seconds: Longest wait, at least 1.
            wanted: Asked after the wait how many are wanted; where none is, the task goes back to its queue's head.

        Raises:
            RedisError: Redis is away. A task that was popped is rescued from the intermediate queue.
        """
        started = await asyncio.to_thread(self.take, seconds, lambda: wanted() > 0)
        return [started] if started else []

    def finish(self, started: StartedTask, result: dict[str, Any]) -> None:
        """Write down a task's result.

        Raises:
            RedisError: Redis stayed away for a minute; the task will be taken for abandoned.
        """
        job = started.job
        job.ended_at = job.last_heartbeat = datetime.now(UTC)
        job._result = result  # noqa: SLF001 - what RQ's `_finalize_success` sets before it calls this
        job._status = JobStatus.FINISHED  # noqa: SLF001

        def write() -> None:
            registry = self._queue.started_job_registry
            self._worker.handle_job_success(job, self._queue, registry, self._execution(started))

        self._persist(started, write)
        self._tell(job.id, TaskStatus.FINISHED)
        job.send_webhooks(JobStatus.FINISHED)

    def call_success(self, started: StartedTask, result: dict[str, Any]) -> None:
        """Run the callback that RQ's `on_success` asked for, if any, before the success is written down.

        Raises:
            Exception: Whatever it raises; the run has failed with that then.
        """
        self._note_end(started.job, JobStatus.FINISHED)
        started.job._result = result  # noqa: SLF001 - what RQ's `_finalize_success` sets before it calls this
        started.job.call_success(result)

    def call_failure(self, started: StartedTask, error: BaseException) -> None:
        """Run the callback that RQ's `on_failure` asked for, if any, before the failure is written down.

        Raises:
            Exception: Whatever it raises; the run has failed with that then.
        """
        self._note_end(started.job, JobStatus.FAILED)
        started.job.call_failure(error)

    def _note_end(self, job: TaskJob, status: JobStatus) -> None:
        """Let a callback see what RQ's own would."""
        job.ended_at = datetime.now(UTC)
        job._status = status  # noqa: SLF001 - as RQ does

    def _call_stopped(self, job: TaskJob) -> None:
        try:
            job.call_stopped()
        except Exception:
            logger.exception("the stopped callback of task %s raised", job.id)

    def fail(self, started: StartedTask, error: TaskError, outcome: Outcome, traceparent: str) -> Outcome:
        """Write down that a run failed, and put the task into its queue again where it has retries left.

        Args:
            started: The task.
            error: Why.
            outcome: Failure, timeout, crash, or canceled for a task that was asked to stop.
            traceparent: W3C context of the run's span, to which later runs are linked if it was the first.

        Returns:
            `outcome`, or retry, or canceled when somebody asked to stop the task in the meantime.

        Raises:
            RedisError: Redis stayed away for a minute; the task will be taken for abandoned.
        """
        job = started.job
        job.ended_at = job.last_heartbeat = datetime.now(UTC)
        started.meta.error = error
        job.meta = started.meta.dump()
        decided: list[Outcome] = []
        if outcome is Outcome.CANCELED:
            self._call_stopped(job)

        def write() -> None:
            # RQ marks one stopped task at a time, in a field of the worker.
            with self._failing:
                decided[:] = [self._write_failure(started, error, outcome, traceparent)]

        self._persist(started, write)
        return decided[0] if decided else outcome

    def _write_failure(self, started: StartedTask, error: TaskError, outcome: Outcome, traceparent: str) -> Outcome:
        job = started.job
        pipeline = self._broker.redis.pipeline()
        pipeline.hexists(job.key, STOP_FIELD)
        pipeline.hset(job.key, "meta", SERIALIZER.dumps(job.meta))
        pipeline.hsetnx(job.key, FIRST_PROCESS_FIELD, traceparent)
        stopped = bool(pipeline.execute()[0]) or outcome is Outcome.CANCELED
        self._worker._stopped_job_id = job.id if stopped else None  # noqa: SLF001 - how RQ's commands mark it
        retry = job.should_retry and not stopped
        self._worker.handle_job_failure(
            job,
            queue=self._queue,
            started_job_registry=self._queue.started_job_registry,
            exc_string=error.stack_trace or f"{error.type}: {error.message}",
            execution=self._execution(started),
        )
        if self._is_unsettled(started):
            raise RedisConnectionError("the end of the task was not written")  # RQ logs that and goes on
        if stopped:
            release_dependents(self._broker, job)
        status = task_status(job.get_status(refresh=False)) if retry else TaskStatus.FAILED
        self._tell(job.id, TaskStatus.STOPPED if stopped else status, error=error.message)
        if stopped:
            return Outcome.CANCELED
        return Outcome.RETRY if retry else outcome

    def settle(
        self, task_id: str, execution_id: str, error: TaskError, outcome: Outcome, traceparent: str
    ) -> Outcome | None:
        """Fail a task that a dead child left, unless the child had written down its end already.

        Returns:
            How it ended; None when the task is gone.

        Raises:
            RedisError: Redis stayed away for a minute.
        """
        try:
            job = self._broker.fetch(task_id)
        except TaskNotFoundError:
            return None
        execution = Execution(execution_id, task_id, self._broker.redis, worker_name=self._worker.name)
        if is_unsettled(self._broker.redis, job.origin, execution):
            return self.fail(StartedTask.of(job, execution), error, outcome, traceparent)
        return _outcome_of(task_status(job.get_status(refresh=False)))

    def give_back_unheard(self, heard: Collection[str]) -> int:
        """Put tasks back that a dead child had taken but not begun to run, since it had not told of them yet.

        Args:
            heard: The execution ids of the runs that it had told of.

        Returns:
            How many.

        Raises:
            RedisError: Redis is away.
        """
        redis, worker = self._broker.redis, self._worker
        members: set[bytes] = redis.smembers(WORKER_EXECUTIONS_KEY_TEMPLATE.format(worker.name))  # type: ignore[assignment]
        count = 0
        for member in members:
            task_id, execution_id = parse_composite_key(member.decode())
            execution = Execution(execution_id, task_id, redis, worker_name=worker.name)
            if execution_id in heard or not is_unsettled(redis, self._queue.name, execution):
                continue
            job = self._broker.fetch(task_id)
            with redis.pipeline() as pipeline:
                execution.delete(job, pipeline=pipeline)
                pipeline.hset(job.key, mapping={"status": JobStatus.QUEUED.value, ATTEMPTS_FIELD: job.attempts - 1})
                pipeline.lpush(self._queue.key, task_id)
                self._journal.add_status(pipeline, task_id, TaskStatus.QUEUED, at_attempt=job.attempts - 1)
                pipeline.execute()
            count += 1
        return count

    def _persist(self, started: StartedTask, write: Callable[[], None]) -> None:
        """Write, and again while Redis is away, but never a second time what was written."""
        deadline = time.monotonic() + PERSIST_SECONDS
        wait = 0.05
        while True:
            try:
                return write()
            except (RedisConnectionError, RedisTimeoutError) as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("the end of task %s is not written yet: %s", started.id, error)
            time.sleep(wait)
            wait = min(2 * wait, 2.0)
            if self._is_written(started):
                return None

    def _execution(self, started: StartedTask) -> Execution:
        """Return RQ's record of a run."""
        execution = Execution(started.execution_id, started.id, self._broker.redis, worker_name=self._worker.name)
        execution.created_at = started.started_at
        return execution

    def _is_unsettled(self, started: StartedTask) -> bool:
        return is_unsettled(self._broker.redis, started.queue, self._execution(started))

    def _is_written(self, started: StartedTask) -> bool:
        try:
            return not self._is_unsettled(started)
        except RedisError:
            return False

    def _tell(self, task_id: str, status: TaskStatus, **data: Any) -> None:
        """Add the new status to the task's journal; the books are written, so a failure here is only told."""
        try:
            pipeline = self._broker.redis.pipeline(transaction=False)
            self._journal.add_status(pipeline, task_id, status, **data)
            pipeline.execute()
        except RedisError as error:
            logger.warning("the journal of task %s lacks its status %s: %s", task_id, status, error)


def patiently(read: Callable[[], _Value]) -> _Value:
    """Return what `read` returns, for as long as Redis is away for no longer than an end is kept in hand.

    Raises:
        RedisError: It stayed away.
    """
    deadline = time.monotonic() + PERSIST_SECONDS
    wait = 0.05
    while True:
        try:
            return read()
        except (RedisConnectionError, RedisTimeoutError):
            if time.monotonic() > deadline:
                raise
        time.sleep(wait)
        wait = min(2 * wait, 2.0)


def current_task() -> StartedTask:
    """Return the task that a stock RQ worker runs in this process.

    Raises:
        LookupError: It runs none.
    """
    current = get_current_job()
    if current is None:
        raise LookupError("no RQ job runs in this process")
    return StartedTask.of(Broker(current.connection).fetch(current.id), None)


def _call_of(job: Job) -> tuple[str | None, dict[str, Any]]:
    """Return the agent and its input, or no agent for a job that is none of ours."""
    try:
        if job.func_name != TASK_FUNCTION:
            return None, {}
        return job.kwargs["agent"], job.kwargs["payload"]
    except (DeserializationError, KeyError):
        return None, {}


def _outcome_of(status: TaskStatus) -> Outcome:
    return {
        TaskStatus.FINISHED: Outcome.SUCCESS,
        TaskStatus.FAILED: Outcome.FAILURE,
        TaskStatus.STOPPED: Outcome.CANCELED,
    }.get(status, Outcome.RETRY)
