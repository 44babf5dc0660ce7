"""How far a workflow is, as Redis keeps it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, JsonValue
from redis import Redis
from redis.client import Pipeline


def state_key(workflow_id: str) -> str:
    """Return the key of a workflow's state."""
    return f"agents:workflow:{workflow_id}"


def lock_key(workflow_id: str) -> str:
    """Return the key that is held while a workflow is moved on."""
    return f"agents:workflow-lock:{workflow_id}"


class WorkflowStatus(StrEnum):
    """Where a workflow is."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELED = "canceled"


class StepStatus(StrEnum):
    """Where a step is."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELED = "canceled"

    @property
    def is_over(self) -> bool:
        """Whether nothing of the step waits or runs."""
        return self not in {StepStatus.PENDING, StepStatus.RUNNING}


class StepState(BaseModel):
    """One step.

    Attributes:
        rounds: The ids of its tasks, a list a round.
        follow_up: The coordinator's task that comes after the latest round.
        error: Why it failed.
    """

    agent: str
    status: StepStatus = StepStatus.PENDING
    rounds: list[list[str]] = Field(default_factory=list)
    follow_up: str | None = None
    error: str | None = None

    @property
    def task_ids(self) -> list[str]:
        """The ids of its latest round."""
        return self.rounds[-1] if self.rounds else []


class WorkflowState(BaseModel):
    """A run of a workflow.

    Attributes:
        traceparent: W3C context of the span that started it, under which every task is put.
        turns: By the name of a loop's `at`, how often it went back.
    """

    id: str
    name: str
    input: dict[str, Any]
    status: WorkflowStatus = WorkflowStatus.RUNNING
    steps: dict[str, StepState]
    turns: dict[str, int] = Field(default_factory=dict)
    submitted_at: AwareDatetime
    submitted_by: str | None = None
    ended_at: AwareDatetime | None = None
    traceparent: str | None = None
    error: str | None = None

    def save(self, client: Redis | Pipeline, seconds: int) -> None:
        """Write the state, to be kept for `seconds` from now."""
        client.set(state_key(self.id), self.model_dump_json(), ex=seconds)

    @classmethod
    def load(cls, redis: Redis, workflow_id: str) -> WorkflowState | None:
        """Return the state, or None where there is no such workflow."""
        raw: bytes | None = redis.get(state_key(workflow_id))  # type: ignore[assignment]
        return cls.model_validate_json(raw) if raw else None


class StepView(BaseModel):
    """A step, as the API shows it.

    Attributes:
        round: Which round it is in, from 1; 0 before the first.
    """

    name: str
    agent: str
    status: StepStatus
    round: int
    task_ids: list[str]
    error: str | None = None


class WorkflowRun(BaseModel):
    """A run of a workflow, as the API shows it."""

    id: str
    name: str
    status: WorkflowStatus
    trace_id: str | None = None
    submitted_at: AwareDatetime
    submitted_by: str | None = None
    ended_at: AwareDatetime | None = None
    steps: list[StepView]
    result: JsonValue = None
    error: str | None = None
    links: dict[str, str] = Field(default_factory=dict)
