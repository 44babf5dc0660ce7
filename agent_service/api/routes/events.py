"""`/tasks/{id}/events`: what happens to a task, as it happens."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

import orjson
import redis.asyncio
from fastapi import APIRouter, Depends, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent
from redis.exceptions import RedisError

from agent_service.api import problems
from agent_service.api.documentation import answers_problems
from agent_service.api.routes.tasks import TaskId
from agent_service.api.routing import KeyedRoute
from agent_service.api.services import Services, ServicesDep
from agent_service.tasks.connection import connect_async
from agent_service.tasks.journal import follow
from agent_service.tasks.models import Task, TaskEvent

logger = logging.getLogger(__name__)

FIRST = "0-0"

router = APIRouter(tags=["tasks"], route_class=KeyedRoute)


def task_followed(task_id: TaskId, services: ServicesDep) -> Task:
    """Return the task, before the answer has begun, so that an unknown one is still a plain 404."""
    return services.reader.get(task_id)


async def journal_client(services: ServicesDep) -> AsyncIterator[redis.asyncio.Redis]:
    """Give a connection of the request's own, and close it however the request ends."""
    async with connect_async(services.settings) as client:
        yield client


@router.get(
    "/tasks/{task_id}/events",
    response_class=EventSourceResponse,
    summary="Follow a task",
    response_description="Events named `status`, `progress`, `log`, and at last `end`; their data is JSON.",
    responses=answers_problems(
        problems.UNAUTHORIZED, problems.TASK_NOT_FOUND, problems.INVALID_REQUEST, problems.QUEUE_UNAVAILABLE
    ),
)
async def follow_task(
    task: Annotated[Task, Depends(task_followed)],
    client: Annotated[redis.asyncio.Redis, Depends(journal_client)],
    services: ServicesDep,
    last_event_id: Annotated[
        str, Header(alias="Last-Event-ID", pattern=r"^\d{1,18}-\d{1,18}$", description="Go on after this event.")
    ] = FIRST,
) -> AsyncIterator[ServerSentEvent]:
    """Stream what happened to a task so far and what happens from now on, until its final status.

    A stream that ends without `end` was cut by the service; a browser's EventSource then resumes by itself.
    """
    try:
        async with aclosing(follow(client, task.id, last_event_id)) as events:
            async for event in events:
                yield _server_sent(event)
                if services.closing.is_set():
                    return
        yield ServerSentEvent(event="end", data=await run_in_threadpool(_last_status, services, task.id))
    except RedisError as error:
        logger.warning("the event stream of task %s ends early: %s", task.id, error, extra={"task_id": task.id})


def _server_sent(event: TaskEvent | None) -> ServerSentEvent:
    if event is None:
        return ServerSentEvent(comment="waiting")
    data = orjson.dumps({"at": event.at, **event.data}).decode()
    return ServerSentEvent(event=event.kind.value, id=event.id, raw_data=data)


def _last_status(services: Services, task_id: str) -> dict[str, str]:
    return {"status": services.reader.get(task_id).status.value}
