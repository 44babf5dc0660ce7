"""`/workers`: who works, and whether they may."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from agent_service.api import problems
from agent_service.api.documentation import answers_problems
from agent_service.api.routing import KeyedRoute
from agent_service.api.services import ServicesDep
from agent_service.tasks.models import Suspension, WorkerRecord
from agent_service.tasks.suspension import read_suspension, resume_workers, suspend_workers
from agent_service.tasks.workers import live_workers

SUSPENSION_LIMIT = 7 * 24 * 3600

router = APIRouter(
    tags=["workers"],
    route_class=KeyedRoute,
    responses=answers_problems(problems.UNAUTHORIZED, problems.QUEUE_UNAVAILABLE),
)


class SuspensionRequest(BaseModel):
    """For how long the workers are to rest."""

    model_config = ConfigDict(extra="forbid")

    seconds: int | None = Field(
        default=None, ge=1, le=SUSPENSION_LIMIT, description="They go on by themselves after this; null: never."
    )


@router.get("/workers", summary="List workers")
def list_workers(services: ServicesDep) -> list[WorkerRecord]:
    """Return the live workers, with what they are doing."""
    return live_workers(services.redis)


@router.get("/workers/suspension", summary="Read whether the workers are suspended")
def get_suspension(services: ServicesDep) -> Suspension:
    """Tell whether the workers take tasks."""
    return read_suspension(services.redis)


@router.post(
    "/workers/suspend",
    summary="Suspend the workers",
    responses=answers_problems(problems.INVALID_REQUEST, problems.BODY_TOO_LARGE),
)
def suspend_all_workers(request: Annotated[SuspensionRequest, Body()], services: ServicesDep) -> Suspension:
    """Let no worker of any queue take another task; tasks that run go on, and new ones are still accepted.

    It is RQ's own switch, the same that `rq suspend` turns.
    """
    return suspend_workers(services.writes, request.seconds)


@router.post("/workers/resume", summary="Resume the workers")
def resume_all_workers(services: ServicesDep) -> Suspension:
    """Let the workers take tasks again."""
    return resume_workers(services.writes)
