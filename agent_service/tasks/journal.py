"""A task's own story, kept in Redis for a day: status, progress, log lines, and the spans of its trace.

It is what makes `agent-service show` and the event stream work where no Elasticsearch and no Jaeger is. Capped in
length and in time, and written in batches beside the task, so it never holds the task up.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import AsyncGenerator, Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
import redis.asyncio
from pydantic import TypeAdapter
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq.job import Job

from agent_service.settings import Settings
from agent_service.tasks import keys
from agent_service.tasks.jobs import PROGRESS_FIELD, task_status
from agent_service.tasks.models import Progress, SpanRecord, TaskEvent, TaskEventKind, TaskStatus

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.1
BATCH = 500
PENDING_LIMIT = 10_000
"""Entries that wait for Redis; past that the newest are dropped, since the journal is a convenience."""
SPANS_LIMIT = 2_000
FOLLOW_SECONDS = 2.0
"""How often somebody who follows a silent task looks at its status."""
LAST_LINES_SECONDS = 3 * FLUSH_SECONDS
"""How long, after the final status, the lines that were written before it may still take to arrive."""

Entry = tuple[bytes, dict[bytes, bytes]]
"""An entry of a Redis stream: its id and its fields."""

_spans = TypeAdapter(list[SpanRecord])


class Journal:
    """Reads and writes the journals of tasks.

    Attributes:
        seconds: How long an entry is kept after the last; 0 where none is.
        lines: About how many entries a task has at most.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self.seconds = settings.journal_seconds
        self.lines = settings.journal_lines

    @property
    def is_kept(self) -> bool:
        """Whether anything is written."""
        return self.seconds > 0

    def add(self, pipeline: Pipeline, task_id: str, kind: TaskEventKind, data: dict[str, Any]) -> None:
        """Put one entry onto a pipeline that the caller executes."""
        if not self.is_kept:
            return
        key = keys.journal(task_id)
        fields: dict[Any, Any] = {
            "kind": kind,
            "at": datetime.now(UTC).isoformat(),
            "data": orjson.dumps(data, default=str),
        }
        pipeline.xadd(key, fields, maxlen=self.lines, approximate=True)
        pipeline.expire(key, self.seconds)

    def add_status(self, pipeline: Pipeline, task_id: str, status: TaskStatus, **data: Any) -> None:
        """Put a change of status onto a pipeline that the caller executes."""
        self.add(pipeline, task_id, TaskEventKind.STATUS, {"status": status, **data})

    def write_spans(self, spans: Iterable[dict[str, Any]]) -> None:
        """Keep finished spans with their traces.

        Raises:
            RedisError: Redis is away.
        """
        if not self.is_kept:
            return
        pipeline = self._redis.pipeline(transaction=False)
        touched = set()
        for span in spans:
            key = keys.spans(span["trace_id"])
            pipeline.rpush(key, orjson.dumps(span))
            touched.add(key)
        for key in touched:
            pipeline.ltrim(key, -SPANS_LIMIT, -1)
            pipeline.expire(key, self.seconds)
        pipeline.execute()

    def spans(self, trace_id: str) -> list[SpanRecord]:
        """Return the spans of a trace that were kept, by start."""
        raw: list[bytes] = self._redis.lrange(keys.spans(trace_id), 0, -1)  # type: ignore[assignment]
        spans = _spans.validate_python([orjson.loads(line) for line in raw])
        return sorted(spans, key=lambda span: span.start)

    def events(self, task_id: str, after: str = "0-0") -> list[TaskEvent]:
        """Return what happened to a task after the event of that id."""
        entries: list[Entry] = self._redis.xrange(keys.journal(task_id), min=f"({after}")  # type: ignore[assignment]
        return [_event(entry) for entry in entries]


async def follow(
    client: redis.asyncio.Redis, task_id: str, after: str = "0-0"
) -> AsyncGenerator[TaskEvent | None, None]:
    """Yield what happens to a task from `after` on, until it is final; None at each silence, to keep a line open.

    Raises:
        RedisError: Redis is away.
    """
    key = keys.journal(task_id)
    patience = FOLLOW_SECONDS
    while True:
        reply: Any = await client.xread({key: after}, count=BATCH, block=int(patience * 1000))
        for entry in reply[0][1] if reply else ():
            event = _event(entry)
            after = event.id
            patience = LAST_LINES_SECONDS if _is_final(event) else patience
            yield event
        if reply:
            continue
        yield None
        raw: bytes | None = await client.hget(Job.key_for(task_id), "status")  # type: ignore[assignment]
        if raw is None or task_status(raw.decode()).is_final:
            return


def _is_final(event: TaskEvent) -> bool:
    return event.kind is TaskEventKind.STATUS and task_status(event.data.get("status")).is_final


def _event(entry: Entry) -> TaskEvent:
    event_id, fields = entry
    return TaskEvent(
        id=event_id.decode(),
        kind=TaskEventKind(fields[b"kind"].decode()),
        at=datetime.fromisoformat(fields[b"at"].decode()),
        data=orjson.loads(fields[b"data"]),
    )


class JournalWriter:
    """Writes entries from a thread of its own, in batches, so that an agent's log call costs no round trip."""

    def __init__(self, redis: Redis, journal: Journal) -> None:
        self._redis = redis
        self._journal = journal
        self._pending: queue.Queue[tuple[str, TaskEventKind, dict[str, Any]] | None] = queue.Queue(PENDING_LIMIT)
        self._away = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, task_id: str, kind: TaskEventKind, data: dict[str, Any]) -> None:
        """Write an entry soon; it is dropped where Redis is behind by thousands."""
        try:
            self._pending.put_nowait((task_id, kind, data))
        except queue.Full:
            self._away = True

    def close(self, timeout: float = 5.0) -> None:
        """Write what is pending, for at most `timeout` seconds."""
        self._pending.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch = [self._pending.get()]
            while len(batch) < BATCH and batch[-1] is not None:
                try:
                    batch.append(self._pending.get(timeout=FLUSH_SECONDS if len(batch) == 1 else 0.001))
                except queue.Empty:
                    break
            stopping = batch[-1] is None
            self._flush([entry for entry in batch if entry is not None])

    def _flush(self, batch: list[tuple[str, TaskEventKind, dict[str, Any]]]) -> None:
        if not batch:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for task_id, kind, data in batch:
            self._journal.add(pipeline, task_id, kind, data)
            if kind is TaskEventKind.PROGRESS:
                pipeline.hset(Job.key_for(task_id), PROGRESS_FIELD, Progress.model_validate(data).model_dump_json())
        try:
            pipeline.execute()
            self._away = False
        except RedisError as error:
            if not self._away:
                logger.warning("journal entries are lost while Redis is away: %s", error)
            self._away = True
