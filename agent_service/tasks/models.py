"""What a task is, to everything outside this room: plain typed data, free of RQ."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from agent_service.telemetry.profiles import ProfileKind

METADATA_LIMIT = 32
IDEMPOTENCY_KEY_LIMIT = 255


class TaskStatus(StrEnum):
    """Where a task is; RQ's words."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    DEFERRED = "deferred"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Whether the task stays there unless somebody retries it."""
        return self in FINAL_STATUSES


FINAL_STATUSES = frozenset({TaskStatus.FINISHED, TaskStatus.FAILED, TaskStatus.STOPPED, TaskStatus.CANCELED})

Metadata = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=METADATA_LIMIT),
]


class TaskOptions(BaseModel):
    """How a task is to be run, where it differs from its agent's own options."""

    model_config = ConfigDict(extra="forbid")

    priority: Literal["normal", "high"] = Field(default="normal", description="`high` goes to the front of the queue.")
    delay_seconds: float = Field(default=0, ge=0, le=30 * 24 * 3600, description="Start no earlier than this from now.")
    timeout_seconds: int | None = Field(default=None, ge=1, le=24 * 3600, description="Longest run.")
    retries: int | None = Field(default=None, ge=0, le=20, description="How often a failed run is tried again.")
    metadata: Metadata = Field(default_factory=dict, description="Your own labels; kept with the task, never read.")
    callback_url: str | None = Field(
        default=None, max_length=2048, description="Gets a POST when the task finishes or fails."
    )
    profile: ProfileKind | None = Field(
        default=None, description="Profile each run: function calls, lines, samples or memory. It slows the task down."
    )


class Submission(BaseModel):
    """One piece of work for an agent."""

    model_config = ConfigDict(extra="forbid")

    agent: str = Field(description="The agent's name.", examples=["summarizer"])
    input: dict[str, JsonValue] = Field(default_factory=dict, description="The agent's input; see its schema.")
    options: TaskOptions = Field(default_factory=TaskOptions)


class TaskError(BaseModel):
    """Why a task's last run failed."""

    type: str
    message: str
    stack_trace: str | None = None


class Progress(BaseModel):
    """How far a running task is, in its agent's own words."""

    fraction: float = Field(ge=0, le=1)
    message: str = ""


class Task(BaseModel):
    """One task, as it is now.

    Attributes:
        id: A UUIDv7, so ids sort by submission.
        trace_id: The trace that holds everything the task did.
        attempts: Runs so far.
        submitted_by: The name of the API key that submitted it.
        profile_ids: The profiles of its runs; `GET /profiles/{id}` shows one for as long as it is kept.
        links: Where to look at it, by what is seen there.
    """

    id: str
    agent: str
    status: TaskStatus
    queue: str
    trace_id: str | None = None
    workflow_id: str | None = None
    parent_task_id: str | None = None
    attempts: int = 0
    retries_left: int = 0
    submitted_at: AwareDatetime
    submitted_by: str | None = None
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    worker: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    progress: Progress | None = None
    input: dict[str, JsonValue] | None = None
    result: JsonValue = None
    error: TaskError | None = None
    profile_ids: list[str] = Field(default_factory=list)
    links: dict[str, str] = Field(default_factory=dict)


class TaskPage(BaseModel):
    """Tasks, newest first, and where the next page starts."""

    tasks: list[Task]
    next_cursor: str | None = None


class TaskEventKind(StrEnum):
    """What a task's event stream tells."""

    STATUS = "status"
    PROGRESS = "progress"
    LOG = "log"


class TaskEvent(BaseModel):
    """One entry of a task's journal.

    Attributes:
        id: Its place in the stream; the next read starts after it.
        kind: What it tells.
        data: The status, the progress, or the log line as it was written.
    """

    id: str
    kind: TaskEventKind
    at: datetime
    data: dict[str, Any]


class SpanRecord(BaseModel):
    """One span of a task's trace, as the journal keeps it.

    Attributes:
        start: Unix time in seconds.
        end: Unix time in seconds.
        links: Span ids that it is linked to.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    service: str
    kind: str
    start: float
    end: float
    status: str
    attributes: dict[str, Any] = Field(default_factory=dict)
    links: list[str] = Field(default_factory=list)


class WorkerRecord(BaseModel):
    """One live worker.

    Attributes:
        metrics_address: `host:port` where Prometheus reads it.
    """

    name: str
    queue: str
    state: str
    hostname: str
    pid: int
    metrics_address: str | None = None
    task_ids: list[str] = Field(default_factory=list)
    last_heartbeat: AwareDatetime | None = None


class Suspension(BaseModel):
    """Whether the workers take tasks.

    Attributes:
        seconds_left: After how long they go on by themselves; null where somebody has to resume them, or has.
    """

    suspended: bool
    seconds_left: int | None = None


class DeadLetterPage(BaseModel):
    """Failed tasks, the latest first.

    Attributes:
        total: How many failed tasks are kept in all, whatever the filter.
        next_offset: Where the next page starts; null at the end.
    """

    tasks: list[Task]
    total: int
    next_offset: int | None = None
