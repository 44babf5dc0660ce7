"""`/tasks`: give an agent work, read it, end it, try it again."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Header, Path, Query, Response, status
from fastapi.openapi.models import Example
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, SkipValidation

from agent_service.api import problems
from agent_service.api.authentication import Caller
from agent_service.api.documentation import answers_problems
from agent_service.api.problems import Problem, problem_of
from agent_service.api.routing import KeyedRoute
from agent_service.api.services import ServicesDep
from agent_service.api.submitting import submit, submit_batch
from agent_service.tasks.models import (
    IDEMPOTENCY_KEY_LIMIT,
    SpanRecord,
    Submission,
    Task,
    TaskEventKind,
    TaskPage,
    TaskStatus,
)

BATCH_LIMIT = 1_000
PAGE_LIMIT = 200
PAGE_DEFAULT = 50

router = APIRouter(
    tags=["tasks"],
    route_class=KeyedRoute,
    responses=answers_problems(problems.UNAUTHORIZED, problems.INVALID_REQUEST, problems.QUEUE_UNAVAILABLE),
)

TaskId = Annotated[str, Path(description="The task's id.", examples=["0199aa5e-0000-7000-8000-000000000000"])]
IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=IDEMPOTENCY_KEY_LIMIT,
        pattern=r"^[ -~]+$",
        description="Any word of yours for this very request. Sent again with the same body within a day, it gives the "
        "same task instead of a second one.",
    ),
]

_SUMMARY = {
    "agent": "summarizer",
    "input": {
        "section": {"text": "Valkey keeps the queue. Workers take tasks from it. Some run on other machines."},
        "sentences": 1,
    },
}
EXAMPLES = {
    "summary": Example(summary="A text to summarize", value=_SUMMARY),
    "options": Example(
        summary="With options",
        value={
            **_SUMMARY,
            "options": {
                "priority": "high",
                "delay_seconds": 30,
                "timeout_seconds": 60,
                "retries": 2,
                "metadata": {"ticket": "DOC-42"},
            },
        },
    ),
}


class Batch(BaseModel):
    """Several tasks at once."""

    model_config = ConfigDict(extra="forbid")

    # Each item is validated by itself, so that one that is malformed does not spoil the rest.
    tasks: list[SkipValidation[Submission]] = Field(
        min_length=1,
        max_length=BATCH_LIMIT,
        examples=[[_SUMMARY, _SUMMARY]],
    )


class BatchResult(BaseModel):
    """What became of one task of a batch.

    Attributes:
        status: The status that `POST /tasks` would have answered.
    """

    status: int
    task: Task | None = None
    problem: Problem | None = None


class BatchResults(BaseModel):
    """What became of each task, in the order of the request."""

    results: list[BatchResult]


@router.post(
    "/tasks",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Submit a task",
    response_description="The task is in its queue; it is not lost from here on.",
    responses=answers_problems(
        problems.TASK_NOT_FOUND,
        problems.IDEMPOTENCY_KEY_BUSY,
        problems.BODY_TOO_LARGE,
        problems.INVALID_REQUEST,
        problems.UNKNOWN_AGENT,
        problems.INVALID_INPUT,
        problems.INVALID_CALLBACK,
        problems.IDEMPOTENCY_KEY_REUSED,
        problems.QUEUE_FULL,
    )
    | {
        202: {
            "headers": {
                "Location": {"description": "Where the task is read.", "schema": {"type": "string"}},
                "Idempotency-Replayed": {
                    "description": "`true` where an earlier request with the same key made the task.",
                    "schema": {"type": "string", "enum": ["true"]},
                },
            }
        }
    },
)
async def submit_task(
    submission: Annotated[Submission, Body(openapi_examples=EXAMPLES)],
    response: Response,
    services: ServicesDep,
    caller: Caller,
    idempotency_key: IdempotencyHeader = None,
) -> Task:
    """Give one agent a piece of work. The answer does not wait for the work to be done."""
    task, replayed = await submit(services, submission, caller, idempotency_key)
    response.headers["Location"] = f"/tasks/{task.id}"
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return task


@router.post(
    "/tasks/batch",
    summary="Submit many tasks",
    response_description="What became of each task, in the order of the request.",
    responses=answers_problems(problems.BODY_TOO_LARGE),
)
async def submit_tasks(batch: Batch, services: ServicesDep, caller: Caller) -> BatchResults:
    """Submit up to 1000 tasks. Each is accepted or refused by itself."""
    outcomes = await submit_batch(services, batch.tasks, caller)
    return BatchResults(results=[_batch_result(number, outcome) for number, outcome in enumerate(outcomes)])


@router.get("/tasks", summary="List tasks", response_description="Tasks without input and result, newest first.")
def list_tasks(
    services: ServicesDep,
    agent: Annotated[str | None, Query(max_length=63, description="Only this agent's.")] = None,
    status: Annotated[TaskStatus | None, Query(description="Only those in this state.")] = None,
    queue: Annotated[str | None, Query(max_length=63, description="Only those of this queue.")] = None,
    since: Annotated[
        AwareDatetime | None, Query(description="Only those submitted then or later, by the time in their ids.")
    ] = None,
    until: Annotated[AwareDatetime | None, Query(description="Only those submitted before.")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most tasks of a page.")] = PAGE_DEFAULT,
    cursor: Annotated[UUID | None, Query(description="`next_cursor` of the page before.")] = None,
) -> TaskPage:
    """Page through the tasks.

    A page may be shorter than `limit`, even empty, while `next_cursor` says that there is more to look through.
    """
    return services.reader.page(
        agent=agent,
        status=status,
        queue=queue,
        since=since,
        until=until,
        limit=limit,
        cursor=str(cursor) if cursor else None,
    )


@router.get("/tasks/{task_id}", summary="Read a task", responses=answers_problems(problems.TASK_NOT_FOUND))
def get_task(task_id: TaskId, services: ServicesDep) -> Task:
    """Return a task with its input, result and error."""
    return services.reader.get(task_id)


@router.delete(
    "/tasks/{task_id}",
    summary="Cancel or stop a task",
    response_description="It waited and is canceled, or had been ended before.",
    responses=answers_problems(problems.TASK_NOT_FOUND, problems.INVALID_TRANSITION)
    | {202: {"model": Task, "description": "It runs; its worker was asked to stop it, which takes seconds."}},
)
def cancel_task(task_id: TaskId, response: Response, services: ServicesDep) -> Task:
    """Take a waiting task out of its queue, or have a running one stopped."""
    task = services.control.cancel(task_id)
    if not task.status.is_final:
        response.status_code = status.HTTP_202_ACCEPTED
    return task


@router.post(
    "/tasks/{task_id}/retry",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Retry a task",
    response_description="It is in its queue again.",
    responses=answers_problems(problems.TASK_NOT_FOUND, problems.INVALID_TRANSITION),
)
def retry_task(task_id: TaskId, services: ServicesDep) -> Task:
    """Run a task that failed, was stopped or was canceled once more, with all its retries."""
    return services.control.retry(task_id)


@router.get(
    "/tasks/{task_id}/spans",
    summary="List a task's spans",
    response_description="The spans of its trace that are kept, by start.",
    responses=answers_problems(problems.TASK_NOT_FOUND),
)
def list_task_spans(task_id: TaskId, services: ServicesDep) -> list[SpanRecord]:
    """Return what the task's trace holds so far; all of a workflow's, where it is a step of one."""
    task = services.reader.get(task_id)
    return services.journal.spans(task.trace_id) if task.trace_id else []


@router.get(
    "/tasks/{task_id}/logs",
    summary="List a task's log lines",
    response_description="The lines as they were written, oldest first.",
    responses=answers_problems(problems.TASK_NOT_FOUND),
)
def list_task_logs(task_id: TaskId, services: ServicesDep) -> list[dict[str, JsonValue]]:
    """Return the log lines of every attempt at the task that are kept."""
    services.reader.get(task_id)
    return [event.data for event in services.journal.events(task_id) if event.kind is TaskEventKind.LOG]


def _batch_result(number: int, outcome: Task | Exception) -> BatchResult:
    if isinstance(outcome, Task):
        return BatchResult(status=status.HTTP_202_ACCEPTED, task=outcome)
    _, problem = problem_of(outcome, "/tasks/batch", ("tasks", number))
    return BatchResult(status=problem.status, problem=problem)
