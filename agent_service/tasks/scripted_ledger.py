"""The books by two Redis scripts: a task is taken and started in one round trip, finished and followed in another.

What the scripts write is what RQ 3.0 writes, key by key; a test holds the two side by side. Whatever is unusual about a
task (dependents, a concurrency limit, repeats, callbacks, failure) goes through RQ's own methods.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from uuid import uuid4

from redis.commands.core import Script
from rq.defaults import RQ_KEY_PREFIX
from rq.executions import Execution
from rq.job import JobStatus
from rq.utils import utcformat
from rq.version import VERSION

from agent_service.tasks.jobs import SERIALIZER, TaskJob
from agent_service.tasks.journal import Journal
from agent_service.tasks.ledger import Ledger, StartedTask
from agent_service.tasks.rq_worker import RqWorker, is_unsettled

logger = logging.getLogger(__name__)

CHECKED_RQ_VERSIONS = frozenset({"3.0.0"})
"""The versions of RQ that the scripts were held against."""


def ledger_for(worker: RqWorker, journal: Journal) -> Ledger:
    """Return the fastest ledger that is safe with the installed RQ."""
    if VERSION in CHECKED_RQ_VERSIONS:
        return ScriptedLedger(worker, journal)
    logger.warning("RQ %s is not one that the worker's scripts were checked against; it uses RQ's own methods", VERSION)
    return Ledger(worker, journal)


class ScriptedLedger(Ledger):
    """Moves tasks from queued to started to finished by scripts, and leaves the rest to RQ's own methods."""

    def __init__(self, worker: RqWorker, journal: Journal) -> None:
        super().__init__(worker, journal)
        self._take_script = _script(worker, "claim.lua", "take.lua")
        self._finish_script = _script(worker, "claim.lua", "finish.lua")
        self._unsure = ""

    def take(self, timeout: int | None, wanted: Callable[[], bool] = lambda: True) -> StartedTask | None:
        """Take the next task from the queue and write down that it runs; see `Ledger.take`."""
        if self._unsure and (adopted := self._adopt()):
            return adopted
        task_id = ""
        if timeout is not None:
            queue = self._queue
            popped = self._broker.redis.blmove(queue.key, queue.intermediate_queue_key, timeout)
            if popped is None:
                return None
            task_id = bytes(popped).decode()  # type: ignore[arg-type]
            if not wanted():
                self._give_back(task_id)
                return None
        moment, execution_id = datetime.now(UTC), uuid4().hex
        self._unsure = execution_id
        reply = self._take_script(args=[task_id, *self._parameters(moment, execution_id)])
        self._unsure = ""
        return self._started(reply, moment, execution_id)

    def finish(self, started: StartedTask, result: dict[str, Any], *, take_next: bool = False) -> StartedTask | None:
        """Write down a task's result, and take the next task in the same step; see `Ledger.finish`."""
        job = started.job
        if not _is_usual(job):
            return super().finish(started, result)
        moment, next_execution_id = datetime.now(UTC), uuid4().hex
        began = started.execution.created_at if started.execution else moment
        reply: list[list[Any]] = []

        def write() -> None:
            arguments: list[str | bytes | int] = [
                job.id,
                started.execution_id,
                b64encode(SERIALIZER.dumps(result)),
                job.result_ttl or 0,
                repr((moment - (job.started_at or moment)).total_seconds()),
                repr(began.timestamp()),
                "1" if take_next else "",
                *self._parameters(moment, next_execution_id),
            ]
            reply[:] = [self._finish_script(args=arguments)]

        if take_next:
            self._unsure = next_execution_id
        self._persist(started, write)
        kind = reply[0][0] if reply else b"settled"
        if take_next and kind != b"settled":  # else an earlier try was written, and may have taken the next
            self._unsure = ""
        if kind == b"dependents":
            return super().finish(started, result)
        job.ended_at = moment
        job._status = JobStatus.FINISHED  # noqa: SLF001 - what the script has written
        job.send_webhooks(JobStatus.FINISHED)
        return self._started(reply[0][1], moment, next_execution_id) if kind == b"finished" else None

    def _adopt(self) -> StartedTask | None:
        """Return the task that a script has started whose answer was lost, if it did start one.

        Raises:
            RedisError: Redis is away; nothing is known yet.
        """
        redis = self._broker.redis
        for raw in redis.smembers(self._worker.executions_key):
            task_id, _, execution_id = (raw.decode() if isinstance(raw, bytes) else raw).rpartition(":")
            execution = Execution(execution_id, task_id, redis, worker_name=self._worker.name)
            if execution_id == self._unsure and is_unsettled(redis, self._queue.name, execution):
                job = self._broker.fetch(task_id)
                execution.created_at = execution.last_heartbeat = job.started_at or datetime.now(UTC)
                self._unsure, self._busy = "", True
                return StartedTask.of(job, execution)
        self._unsure = ""
        return None

    def _started(self, reply: Any, moment: datetime, execution_id: str) -> StartedTask | None:
        """Return the task that a script started, if any."""
        if not reply:
            return None
        self._busy = True
        job = TaskJob(reply[1].decode(), connection=self._broker.redis, serializer=SERIALIZER)
        if reply[0] == b"stopped":
            self._turn_away(job)
            return None
        fields = reply[2]
        job.restore(dict(zip(fields[::2], fields[1::2], strict=True)))
        execution = Execution(execution_id, job.id, self._broker.redis, worker_name=self._worker.name)
        execution.created_at = execution.last_heartbeat = moment
        return StartedTask.of(job, execution)

    def _parameters(self, moment: datetime, execution_id: str) -> list[str | int]:
        return [
            RQ_KEY_PREFIX,
            self._queue.name,
            self._worker.name,
            execution_id,
            utcformat(moment),
            repr(moment.timestamp()),
            self._worker.ttl,
            self._journal.seconds,
            self._journal.lines,
            moment.isoformat(),
        ]


def _script(worker: RqWorker, *names: str) -> Script:
    """Return the script that the files make together, in order."""
    folder = files("agent_service.tasks") / "scripts"
    return worker.connection.register_script("\n".join((folder / name).read_text("utf-8") for name in names))


def _is_usual(job: TaskJob) -> bool:
    """Return whether a job's success is what the script writes: a result that is kept for a while, and nothing else."""
    unusual = job.has_rate_limit or job.repeats_left or job._success_callback_name  # noqa: SLF001
    return not unusual and job.result_ttl is not None and job.result_ttl > 0
