"""Whether the service is well."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Response, status
from pydantic import BaseModel
from redis.exceptions import RedisError

from agent_service.api.documentation import OPEN
from agent_service.api.services import Services, ServicesDep
from agent_service.tasks.workers import live_workers

logger = logging.getLogger(__name__)

OK = "ok"

router = APIRouter(tags=["service"])


class Health(BaseModel):
    """That the process answers."""

    status: str = OK


class Checks(BaseModel):
    """What the service needs, each `ok` or what is wrong with it."""

    redis: str
    worker: str


class Readiness(BaseModel):
    """Whether tasks are accepted and done."""

    ready: bool
    checks: Checks


@router.get("/healthz", summary="Is the process alive", openapi_extra=OPEN)
async def health() -> Health:
    """Answer as long as the event loop does, whatever else is away."""
    return Health()


@router.get(
    "/readyz",
    summary="Is the service ready",
    response_description="Tasks are accepted and done.",
    openapi_extra=OPEN,
    responses={503: {"model": Readiness, "description": "Something is missing; `checks` says what."}},
)
def readiness(response: Response, services: ServicesDep) -> Readiness:
    """Tell whether Redis answers and a worker lives."""
    checks = _check(services)
    ready = checks.redis == checks.worker == OK
    if not ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Readiness(ready=ready, checks=checks)


def _check(services: Services) -> Checks:
    try:
        workers = live_workers(services.redis)
    except RedisError as error:
        logger.warning("not ready: %s", error)
        return Checks(redis="does not answer", worker="unknown while Redis is away")
    return Checks(redis=OK, worker=OK if workers else "no live worker")
