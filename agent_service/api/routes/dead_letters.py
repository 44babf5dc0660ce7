"""`/dead-letters`: the tasks that failed for good."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query
from fastapi.openapi.models import Example
from pydantic import BaseModel, ConfigDict, Field

from agent_service.api import problems
from agent_service.api.documentation import answers_problems
from agent_service.api.problems import Problem, problem_of
from agent_service.api.routing import KeyedRoute
from agent_service.api.services import ServicesDep
from agent_service.tasks.errors import TaskServiceError
from agent_service.tasks.models import DeadLetterPage

MANY_LIMIT = 1_000
PAGE_LIMIT = 200
PAGE_DEFAULT = 50
NAME_LIMIT = 63
ID_LIMIT = 128
RETRIED, DROPPED = 202, 200

router = APIRouter(
    tags=["dead letters"],
    route_class=KeyedRoute,
    responses=answers_problems(problems.UNAUTHORIZED, problems.INVALID_REQUEST, problems.QUEUE_UNAVAILABLE),
)

_EXAMPLES = {"some": Example(summary="One task", value={"task_ids": ["0199aa5e-0000-7000-8000-000000000000"]})}
Name = Annotated[str | None, Query(max_length=NAME_LIMIT)]


class Selection(BaseModel):
    """Which failed tasks are meant."""

    model_config = ConfigDict(extra="forbid")

    task_ids: list[Annotated[str, Field(min_length=1, max_length=ID_LIMIT)]] = Field(
        min_length=1, max_length=MANY_LIMIT, description="Their ids."
    )


class DeadLetterResult(BaseModel):
    """What became of one task.

    Attributes:
        status: The status that the same request for this task alone would have answered.
    """

    task_id: str
    status: int
    problem: Problem | None = None


class DeadLetterResults(BaseModel):
    """What became of each task, in the order of the request."""

    results: list[DeadLetterResult]


@router.get("/dead-letters", summary="List failed tasks", response_description="The latest first.")
def list_dead_letters(
    services: ServicesDep,
    agent: Name = None,
    queue: Name = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most tasks of a page.")] = PAGE_DEFAULT,
    offset: Annotated[int, Query(ge=0, le=10_000_000, description="`next_offset` of the page before.")] = 0,
) -> DeadLetterPage:
    """Page through the tasks that failed for good or were stopped, of all queues, without their input."""
    return services.dead_letters.page(agent=agent, queue=queue, limit=limit, offset=offset)


@router.post(
    "/dead-letters/retry",
    summary="Retry many failed tasks",
    response_description="What became of each task, in the order of the request.",
    responses=answers_problems(problems.BODY_TOO_LARGE),
)
def retry_dead_letters(
    selection: Annotated[Selection, Body(openapi_examples=_EXAMPLES)], services: ServicesDep
) -> DeadLetterResults:
    """Put up to 1000 failed tasks into their queues again, with all their retries; each by itself."""
    return _results(services.dead_letters.retry(selection.task_ids), "/dead-letters/retry", RETRIED)


@router.post(
    "/dead-letters/drop",
    summary="Drop many failed tasks",
    response_description="What became of each task, in the order of the request.",
    responses=answers_problems(problems.BODY_TOO_LARGE),
)
def drop_dead_letters(
    selection: Annotated[Selection, Body(openapi_examples=_EXAMPLES)], services: ServicesDep
) -> DeadLetterResults:
    """Forget up to 1000 failed tasks for good, with their input and their log lines; each by itself."""
    return _results(services.dead_letters.drop(selection.task_ids), "/dead-letters/drop", DROPPED)


def _results(outcomes: dict[str, TaskServiceError | None], path: str, status: int) -> DeadLetterResults:
    return DeadLetterResults(results=[_result(task_id, error, path, status) for task_id, error in outcomes.items()])


def _result(task_id: str, error: TaskServiceError | None, path: str, status: int) -> DeadLetterResult:
    if error is None:
        return DeadLetterResult(task_id=task_id, status=status)
    _, problem = problem_of(error, path)
    return DeadLetterResult(task_id=task_id, status=problem.status, problem=problem)
