"""A task as RQ keeps it: the job, what its `meta` holds, and how both read as a `Task`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.callbacks import execute_failure_callback, execute_stopped_callback, execute_success_callback
from rq.job import Job, JobStatus
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty
from rq.utils import import_attribute

from agent_service.tasks.callbacks import CallbackCaller
from agent_service.tasks.links import Links
from agent_service.tasks.models import Progress, Task, TaskError, TaskStatus
from agent_service.telemetry.profiles import ProfileKind

TASK_FUNCTION = "agent_service.worker.entry.run_task"
"""What RQ calls for every task; no other function of a queue is ever run by our workers."""
ATTEMPTS_FIELD = "attempts"
"""A field of the job's hash beside RQ's own: how many runs have started."""
FIRST_PROCESS_FIELD = "first_process"
"""A field of the job's hash beside RQ's own: the W3C context of the first run's span, once that run has failed."""
STOP_FIELD = "stop_requested"
"""A field of the job's hash beside RQ's own: somebody asked to stop the task, so it is not tried again."""

SERIALIZER = JSONSerializer
"""JSON, not pickle: whoever can write to Redis must not be able to run code here."""
PROGRESS_FIELD = "progress"
"""A field of the job's hash beside RQ's own: the last progress that the agent reported."""
PROFILES_FIELD = "profiles"
"""A field of the job's hash beside RQ's own: the ids of the profiles of its runs, separated by commas."""


class CallbackRefusedError(Exception):
    """A job names a callback that lies in none of the modules that may hold agents."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the callback {name!r} is not run: it is in no module that AGENT_MODULES or an installed package names"
        )


class TaskMeta(BaseModel):
    """What the job's `meta` holds.

    Attributes:
        traceparent: W3C context of the PRODUCER span, under which every attempt runs.
        retries: Retries granted at submission, restored by a retry by hand.
        profile: How each run is profiled; None where it is not.
    """

    agent: str
    agent_version: str = "1"
    submitted_at: AwareDatetime
    submitted_by: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    retries: int = 0
    workflow_id: str | None = None
    parent_task_id: str | None = None
    callback_url: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    profile: ProfileKind | None = None
    error: TaskError | None = None

    @property
    def trace_id(self) -> str | None:
        """The 32 hexadecimal digits of the trace, from `traceparent`."""
        return self.traceparent.split("-")[1] if self.traceparent else None

    def dump(self) -> dict[str, Any]:
        """Return it as RQ's serializer takes it."""
        return self.model_dump(mode="json", exclude_none=True)


class TaskJob(Job):
    """RQ's job with our fields beside RQ's own, a callback that is safe to make, and a `retry` in one piece.

    Attributes:
        callbacks: What calls callback URLs; None in processes that end no tasks.
        callback_modules: Names of the modules whose functions a job may name as RQ's callbacks.
        attempts: Runs that have started.
        first_process: W3C context of the first run's span, once that run has failed.
        progress: What the agent last reported.
        profile_ids: The profiles of its runs, oldest first.
    """

    callbacks: ClassVar[CallbackCaller | None] = None
    callback_modules: ClassVar[frozenset[str]] = frozenset()
    attempts: int = 0
    first_process: str | None = None
    progress: Progress | None = None
    profile_ids: tuple[str, ...] = ()

    def __init__(self, id: str | None = None, connection: Redis | None = None, serializer: object = None) -> None:  # noqa: A002 - RQ's name
        """Make a job, as RQ calls this; whatever the serializer that is asked for, it is JSON."""
        del serializer  # RQ would check anew for each job that it is one, at a fifth of what a submission costs
        super().__init__(id, connection=connection)
        self.serializer = SERIALIZER

    def restore(self, raw_data: Mapping[Any, Any]) -> Any:
        """Read the job from its hash, our fields with RQ's.

        Raises:
            NoSuchJobError: The hash is not that of a job.
        """
        self.attempts = int(raw_data.get(ATTEMPTS_FIELD.encode()) or 0)
        first = raw_data.get(FIRST_PROCESS_FIELD.encode())
        self.first_process = first.decode() if first else None
        self.progress = _progress(raw_data.get(PROGRESS_FIELD.encode()))
        profiles = raw_data.get(PROFILES_FIELD.encode())
        self.profile_ids = tuple(profiles.decode().split(",")) if profiles else ()
        return super().restore(raw_data)

    @property
    def names_callbacks(self) -> bool:
        """Whether there is anything to call when a run has ended, by RQ's `on_success` and `on_failure`."""
        return bool(self._success_callback_name or self._failure_callback_name)

    @property
    def success_callback(self) -> Callable[..., Any] | None:
        """The function to call with the result.

        Raises:
            CallbackRefusedError: It is not the service's to call; so with the other two.
        """
        return self._callback(self._success_callback_name)

    @property
    def failure_callback(self) -> Callable[..., Any] | None:
        """The function to call with what a run has raised."""
        return self._callback(self._failure_callback_name)

    @property
    def stopped_callback(self) -> Callable[..., Any] | None:
        """The function to call when the job was stopped on request."""
        return self._callback(self._stopped_callback_name)

    def _callback(self, name: str | None) -> Callable[..., Any] | None:
        """Return a callback, once it is known to be one of ours: Redis must not name code that is run here."""
        if not name:
            return None
        if not self._is_ours(name):
            raise CallbackRefusedError(name)
        function: Callable[..., Any] = import_attribute(name)
        if not self._is_ours(f"{getattr(function, '__module__', None)}."):  # `my_agents.os.system` is in `os`
            raise CallbackRefusedError(name)
        return function

    def _is_ours(self, path: str) -> bool:
        return any(path.startswith(f"{module}.") for module in self.callback_modules)

    def call_success(self, result: Any) -> None:
        """Run the success callback, if there is one, under its time limit in whatever thread this is.

        Raises:
            Exception: Whatever it raises; the job has failed then.
        """
        execute_success_callback(self, TimerDeathPenalty, result)

    def call_failure(self, error: BaseException) -> None:
        """Run the failure callback, if there is one.

        Raises:
            Exception: Whatever it raises; that is what the job failed with then.
        """
        execute_failure_callback(self, TimerDeathPenalty, type(error), error, error.__traceback__)

    def call_stopped(self) -> None:
        """Run the stopped callback, if there is one.

        Raises:
            Exception: Whatever it raises.
        """
        execute_stopped_callback(self, TimerDeathPenalty)

    def retry(self, queue: Queue, pipeline: Pipeline) -> None:
        """Put the task into its queue again, now or later, as RQ does it but in the caller's transaction alone.

        RQ writes the status `scheduled` ahead of the transaction; a worker that dies in between leaves a task that no
        registry holds and no cleaning finds.
        """
        wait = self.get_retry_interval()
        self.retries_left = (self.retries_left or 1) - 1
        if wait:
            queue.schedule_job(self, datetime.now(UTC) + timedelta(seconds=wait), pipeline=pipeline)
        else:
            queue._enqueue_job(self, pipeline=pipeline, at_front=self.enqueue_at_front_on_retry)  # noqa: SLF001

    def send_webhooks(self, status: str | JobStatus, *, exc_string: str | None = None) -> None:
        """Call the task's callback URL, if it has one; the end of the task never waits for it."""
        del exc_string  # a stack trace is for the owner of the service, not for the receiver of a callback
        meta = read_meta(self)
        if meta.callback_url and self.callbacks:
            payload = {
                "task_id": self.id,
                "agent": meta.agent,
                "status": str(JobStatus(status).value),
                "ended_at": self.ended_at.isoformat() if self.ended_at else None,
                "error": meta.error.model_dump(include={"type", "message"}) if meta.error else None,
                "metadata": meta.metadata,
            }
            self.callbacks.call(meta.callback_url, payload)


def read_meta(job: Job) -> TaskMeta:
    """Return the job's meta; a job that somebody else enqueued reads as one of agent `unknown`."""
    if "agent" not in job.meta:
        return TaskMeta(agent="unknown", submitted_at=job.created_at)
    return TaskMeta.model_validate(job.meta)


def task_status(status: JobStatus | str | None) -> TaskStatus:
    """Return RQ's status in our words: what waits for a slot or is on its way to the queue is deferred."""
    value = status.value if isinstance(status, JobStatus) else status
    try:
        return TaskStatus(value or "")
    except ValueError:
        return TaskStatus.DEFERRED


def to_task(job: TaskJob, links: Links, *, result: Result | None = None, whole: bool = True) -> Task:
    """Return the job as a `Task`.

    Args:
        job: The job as fetched.
        links: Makes the links to other tools.
        result: Its latest result, where it has one.
        whole: Whether input, result and stack trace are wanted; a list goes without.
    """
    meta = read_meta(job)
    status = task_status(job.get_status(refresh=False))
    error = meta.error if status in {TaskStatus.FAILED, TaskStatus.STOPPED} else None
    if error and not whole:
        error = error.model_copy(update={"stack_trace": None})
    return Task(
        id=job.id,
        agent=meta.agent,
        status=status,
        queue=job.origin,
        trace_id=meta.trace_id,
        workflow_id=meta.workflow_id,
        parent_task_id=meta.parent_task_id,
        attempts=job.attempts,
        retries_left=job.retries_left or 0,
        submitted_at=meta.submitted_at,
        submitted_by=meta.submitted_by,
        started_at=_aware(job.started_at),
        ended_at=_aware(job.ended_at) if status.is_final else None,
        worker=job.worker_name or None,
        metadata=meta.metadata,
        progress=job.progress,
        input=job.kwargs.get("payload") if whole else None,
        result=result.return_value if whole and result and status is TaskStatus.FINISHED else None,
        error=error,
        profile_ids=list(job.profile_ids),
        links={
            "self": f"/tasks/{job.id}",
            "events": f"/tasks/{job.id}/events",
            **links.to_task(
                job.id, meta.agent, meta.trace_id, meta.submitted_at, job.ended_at if status.is_final else None
            ),
        },
    )


def _progress(raw: bytes | None) -> Progress | None:
    try:
        return Progress.model_validate_json(raw) if raw else None
    except ValidationError:
        return None


def _aware(moment: datetime | None) -> datetime | None:
    """Return the moment, once more checked to carry its time zone, as RQ's do."""
    if moment is not None and moment.tzinfo is None:
        raise ValueError(f"RQ gave a time without a zone: {moment!r}")
    return moment
