"""The books by one Redis script: any number of tasks is ended and the next ones are started in one round trip.

What the script writes is what RQ 3.0 writes, key by key; a test holds the two side by side. Whatever is unusual about a
task (dependents, a concurrency limit, repeats, callbacks, failure) goes through RQ's own methods.
"""

from __future__ import annotations

import asyncio
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib.resources import files
from typing import Any
from uuid import uuid4

import orjson
import redis.asyncio
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.job import JobStatus
from rq.utils import utcformat
from rq.version import VERSION

from agent_service.tasks.job_fields import FIELDS, JobFields
from agent_service.tasks.jobs import ATTEMPTS_FIELD, FIRST_PROCESS_FIELD, SERIALIZER
from agent_service.tasks.journal import Journal
from agent_service.tasks.ledger import PERSIST_SECONDS, Ledger, StartedTask, Success, patiently
from agent_service.tasks.rq_worker import RqWorker
from agent_service.tasks.script_line import ScriptLine

logger = logging.getLogger(__name__)

CHECKED_RQ_VERSIONS = frozenset({"3.0.0"})
"""The versions of RQ that the script was held against."""
SCRIPTS = ("claim.lua", "finish.lua", "step.lua")

_LOST = (RedisConnectionError, RedisTimeoutError)
"""After one of these nobody knows whether the script ran."""
_Reply = tuple[Sequence[bytes], Sequence[Sequence[Any]]]
"""How each end was found, and for each task `started` or `stopped`, its id, the execution and the job's hash."""


def ledger_for(
    worker: RqWorker, journal: Journal, client: redis.asyncio.Redis, side_by_side: Sequence[str] = ()
) -> Ledger:
    """Return the fastest ledger that is safe with the installed RQ.

    Args:
        worker: The worker whose books they are.
        journal: Where changes of status are told.
        client: The client for the event loop.
        side_by_side: The agents whose tasks may run beside others.
    """
    if VERSION in CHECKED_RQ_VERSIONS:
        return ScriptedLedger(worker, journal, client, side_by_side)
    logger.warning("RQ %s is not one that the worker's scripts were checked against; it uses RQ's own methods", VERSION)
    return Ledger(worker, journal)


@dataclass(slots=True)
class _Step:
    """One call of the script, which may be made again until its answer arrives.

    Attributes:
        ends: What is written.
        executions: An id for each task that is wanted.
        popped: The id of a task that waits in the intermediate list, or empty.
        moment: When the step was first made.
        again: Whether an answer was lost before.
    """

    ends: Sequence[Success]
    executions: list[str]
    popped: str
    moment: datetime
    again: bool = False

    @classmethod
    def of(cls, ends: Sequence[Success], wanted: int, popped: str = "") -> _Step:
        """Return a new step that takes so many tasks."""
        return cls(ends, [uuid4().hex for _ in range(wanted)], popped, datetime.now(UTC))

    def waits_since(self) -> float:
        """Return for how many seconds the step has been tried."""
        return (datetime.now(UTC) - self.moment).total_seconds()


class ScriptedLedger(Ledger):
    """Moves tasks from queued to started to finished by a script, and leaves the rest to RQ's own methods."""

    def __init__(
        self, worker: RqWorker, journal: Journal, client: redis.asyncio.Redis, side_by_side: Sequence[str]
    ) -> None:
        super().__init__(worker, journal)
        folder = files("agent_service.tasks") / "scripts"
        fields = "local FIELDS = {" + ", ".join(f"'{name}'" for name in FIELDS) + "}"
        source = "\n".join([fields, *((folder / name).read_text("utf-8") for name in SCRIPTS)])
        self._client = client
        self._script = ScriptLine(worker.connection, source)
        self._async_script: AsyncScript = client.register_script(source)
        self._constants = [RQ_KEY_PREFIX, self._queue.name, worker.name]
        self._settings = [worker.ttl, journal.seconds, journal.lines]
        self._worker_json = orjson.dumps(worker.name)
        self._side_by_side = f",{','.join(side_by_side)},"

    def step(self, ends: Sequence[Success], wanted: int) -> list[StartedTask]:
        """Write results and take tasks; see `Ledger.step`."""
        step = _Step.of(ends, wanted)
        wait = 0.05
        while True:
            try:
                reply = self._script(self._arguments(step))
                break
            except _LOST as error:
                self._note_lost(step, error)
            time.sleep(wait)
            wait = min(2 * wait, 2.0)
        started, unsettled = self._read(step, reply)
        for end in unsettled:
            self.finish(end.started, end.result)
        return started

    async def step_async(self, ends: Sequence[Success], wanted: int) -> list[StartedTask]:
        """Do the same from an event loop; what is left to RQ's own methods is done in a thread."""
        return await self._run_async(_Step.of(ends, wanted))

    async def wait_async(self, seconds: int, wanted: Callable[[], int]) -> list[StartedTask]:
        """Wait for a task and take it and more; see `Ledger.wait_async`."""
        queue = self._queue
        popped: bytes | None = await self._client.blmove(queue.key, queue.intermediate_queue_key, seconds)  # type: ignore[assignment]
        if popped is None:
            return []
        count = wanted()
        if count == 0:
            await asyncio.to_thread(self._give_back, popped.decode())
            return []
        return await self._run_async(_Step.of((), count, popped.decode()))

    async def _run_async(self, step: _Step) -> list[StartedTask]:
        wait = 0.05
        while True:
            try:
                reply = await self._async_script(args=self._arguments(step))
                break
            except _LOST as error:
                self._note_lost(step, error)
            await asyncio.sleep(wait)
            wait = min(2 * wait, 2.0)
        started, unsettled = self._read(step, reply)
        for end in unsettled:
            await asyncio.to_thread(self.finish, end.started, end.result)
        return started

    def _note_lost(self, step: _Step, error: Exception) -> None:
        """Have a step made again, unless it was tried for too long.

        Raises:
            Exception: The error, once that is so.
        """
        if step.waits_since() > PERSIST_SECONDS:
            raise error
        if not step.again:
            logger.warning("Redis is away, %d ends of tasks are not written yet: %s", len(step.ends), error)
        step.again = True

    def _arguments(self, step: _Step) -> list[str | bytes | int]:
        """Return the script's arguments, in the order that it reads them."""
        now = datetime.now(UTC)
        arguments: list[str | bytes | int] = [
            *self._constants,
            utcformat(now),
            repr(now.timestamp()),
            *self._settings,
            now.isoformat(),
            self._worker_json,
            self._side_by_side,
            "1" if step.again else "",
            step.popped,
            len(step.ends),
        ]
        for end in step.ends:
            started = end.started
            arguments += (
                started.id,
                started.execution_id,
                b64encode(_encoded(end.result)),
                started.result_ttl,
                repr((step.moment - started.started_at).total_seconds()),
                repr(started.started_at.timestamp()),
                "1" if started.has_dependencies else "",
            )
        return arguments + step.executions

    def _read(self, step: _Step, reply: _Reply) -> tuple[list[StartedTask], list[Success]]:
        """Return the tasks that a step started, and the ends that it left to RQ's own methods."""
        verdicts, found = reply
        left = []
        for end, verdict in zip(step.ends, verdicts, strict=True):
            if verdict == b"dependents":
                left.append(end)
            elif verdict == b"finished" and end.started.meta.callback_url:
                self._call_back(end, step.moment)
        started = [self._started(entry, step.moment) for entry in found if entry[0] == b"started"]
        for entry in found:
            if entry[0] == b"stopped":
                self._turn_away(self._broker.fetch(entry[1].decode()))
        if started:
            self._busy = True
        return started, left

    def _started(self, entry: Sequence[Any], moment: datetime) -> StartedTask:
        task_id, execution_id = entry[1].decode(), entry[2].decode()
        fields = JobFields.of(entry[3])
        attempt = fields.number(ATTEMPTS_FIELD) + (fields.raw["status"] == b"queued")
        agent, payload = fields.call()

        return StartedTask(
            id=task_id,
            queue=self._queue.name,
            execution_id=execution_id,
            meta=fields.meta(),
            agent=agent,
            payload=payload,
            timeout=fields.number("timeout") or Queue.DEFAULT_TIMEOUT,
            attempt=attempt,
            ready_at=fields.moment("enqueued_at") or fields.moment("created_at") or moment,
            started_at=moment,
            first_process=fields.text(FIRST_PROCESS_FIELD) or None,
            result_ttl=fields.number("result_ttl"),
            has_dependencies=bool(fields.raw["dependency_ids"]),
            is_usual=fields.is_usual(),
            read_job=cache(partial(patiently, partial(self._broker.fetch, task_id))),
        )

    def _call_back(self, end: Success, moment: datetime) -> None:
        job = end.started.job
        job.ended_at = moment
        job.send_webhooks(JobStatus.FINISHED)


def _encoded(result: dict[str, Any]) -> bytes:
    """Return a result as JSON; numbers of more than 64 bits take the slower way."""
    try:
        return orjson.dumps(result)
    except TypeError:
        return bytes(SERIALIZER.dumps(result))
