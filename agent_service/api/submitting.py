"""A request for work becomes a task: checked, held under its idempotency key, acknowledged once it is queued."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from redis.exceptions import RedisError

from agent_service.agents import UnknownAgentError
from agent_service.api.services import Services
from agent_service.tasks.errors import QueueUnavailableError
from agent_service.tasks.idempotency import IdempotencyKey
from agent_service.tasks.models import Submission, Task
from agent_service.tasks.submission import Origin, PreparedTask


async def submit(services: Services, submission: Submission, caller: str, key: str | None) -> tuple[Task, bool]:
    """Put a task into its queue.

    Args:
        services: The services.
        submission: The work.
        caller: The name of the API key that it comes from.
        key: The idempotency key, if there is one.

    Returns:
        The task, and whether it was made by an earlier request with the same key.

    Raises:
        UnknownAgentError, InvalidInputError, InvalidCallbackError: The submission cannot be run.
        IdempotencyMismatchError, IdempotencyBusyError: The idempotency key is taken.
        TaskNotFoundError: The task that the idempotency key stands for is not kept any more.
        QueueFullError: The queue holds as many tasks as it may.
        QueueUnavailableError, RedisError: Redis is away; nothing was acknowledged.
    """
    if key is None:
        return await _commit(services, submission, caller), False
    idempotency = IdempotencyKey.of(caller, key, submission)
    known = await run_in_threadpool(idempotency.begin, services.writes)
    if known:
        return await run_in_threadpool(services.reader.get, known), True
    try:
        return await _commit(services, submission, caller, idempotency), False
    except Exception:
        with contextlib.suppress(RedisError):  # the hold ends by itself
            await run_in_threadpool(idempotency.release, services.writes)
        raise


async def submit_batch(services: Services, items: Sequence[Any], caller: str) -> list[Task | Exception]:
    """Put the sound ones among several tasks into their queues, and return each one's task or fault.

    Raises:
        QueueUnavailableError: Redis is away; none was acknowledged.
    """
    prepared = await run_in_threadpool(_prepare_batch, services, items, Origin(submitted_by=caller))
    sound = [services.committer.submit(task) for task in prepared if isinstance(task, PreparedTask)]
    committed = iter(await asyncio.gather(*sound, return_exceptions=True))
    outcomes = [next(committed) if isinstance(task, PreparedTask) else task for task in prepared]
    if not any(isinstance(outcome, Task) for outcome in outcomes):
        for outcome in outcomes:
            if isinstance(outcome, QueueUnavailableError):
                raise outcome
    return [_known(outcome) for outcome in outcomes]


async def _commit(
    services: Services, submission: Submission, caller: str, idempotency: IdempotencyKey | None = None
) -> Task:
    origin = Origin(submitted_by=caller)
    if submission.options.callback_url:  # its host is looked up, which may take a while
        prepared = await run_in_threadpool(_prepare, services, submission, origin)
    else:
        prepared = _prepare(services, submission, origin)
    return await services.committer.submit(prepared, idempotency)


def _prepare(services: Services, submission: Submission, origin: Origin) -> PreparedTask:
    if submission.agent in services.agents and services.agents[submission.agent].internal:
        raise UnknownAgentError(submission.agent, services.agents.public_names())
    return services.submitter.prepare(submission, origin)


def _prepare_batch(services: Services, items: Sequence[Any], origin: Origin) -> list[PreparedTask | Exception]:
    prepared: list[PreparedTask | Exception] = []
    for number, item in enumerate(items):
        try:
            prepared.append(_prepare(services, Submission.model_validate(item), origin))
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            prepared.append(
                RequestValidationError([{**fault, "loc": ("body", "tasks", number, *fault["loc"])} for fault in faults])
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's and not the batch's
            prepared.append(error)
    return prepared


def _known(outcome: Task | BaseException) -> Task | Exception:
    if isinstance(outcome, Task | Exception):
        return outcome
    raise outcome
