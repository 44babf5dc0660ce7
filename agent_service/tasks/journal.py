"""A task's own story, kept in Redis for a day: status, progress, log lines, and the spans of its trace.

It is what makes `agent-service show` and the event stream work where no Elasticsearch and no Jaeger is. Capped in
length and in time, and written in batches beside the task, so it never holds the task up.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
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
from agent_service.telemetry.logs import LogContext

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

PendingEntry = tuple[str, TaskEventKind, str, dict[str, Any]]
"""What waits for Redis: a task's id, the kind of the entry, when it was made, and its data."""

ADD_MANY = """
for i = 3, #ARGV, 4 do
  redis.call('XADD', ARGV[i], 'MAXLEN', '~', ARGV[2], '*', 'kind', ARGV[i + 1], 'at', ARGV[i + 2], 'data', ARGV[i + 3])
  redis.call('EXPIRE', ARGV[i], ARGV[1])
end
"""
"""Adds entries to streams: one command costs this process a tenth of what a pipeline of as many does."""
SET_PROGRESS = """
for i, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, ARGV[1], ARGV[i + 1])
  end
end
"""
"""Writes how far tasks are, unless they are gone by then, as one is whose result is not kept."""
ADD_SPANS = """
local i = 3
while i <= #ARGV do
  local key, count = ARGV[i], tonumber(ARGV[i + 1])
  if redis.call('RPUSH', key, unpack(ARGV, i + 2, i + 1 + count)) > tonumber(ARGV[2]) then
    redis.call('LTRIM', key, -ARGV[2], -1)
  end
  redis.call('EXPIRE', key, ARGV[1])
  i = i + 2 + count
end
"""
"""Adds spans to the lists of their traces, likewise; a trace comes with no more than a batch of the exporter has."""

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

    def add_many(self, pipeline: Pipeline, entries: Iterable[PendingEntry]) -> None:
        """Put several entries onto a pipeline, as one command."""
        arguments: list[str | bytes | int] = [self.seconds, self.lines]
        for task_id, kind, at, data in entries:
            arguments += (keys.journal(task_id), kind, at, orjson.dumps(data, default=str))
        if self.is_kept and len(arguments) > 2:
            pipeline.eval(ADD_MANY, 0, *arguments)

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
        by_trace: defaultdict[str, list[bytes]] = defaultdict(list)
        for span in spans:
            by_trace[keys.spans(span["trace_id"])].append(orjson.dumps(span))
        arguments: list[str | bytes | int] = [self.seconds, SPANS_LIMIT]
        for key, lines in by_trace.items():
            arguments += (key, len(lines), *lines)
        self._redis.eval(ADD_SPANS, 0, *arguments)

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
        self._pending: list[PendingEntry] = []
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._closing = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write_line(self, context: LogContext, line: dict[str, Any]) -> None:
        """Write a log line of a task; it is a sink of the logs."""
        self.write(context.task_id, TaskEventKind.LOG, line)

    def write(self, task_id: str, kind: TaskEventKind, data: dict[str, Any]) -> None:
        """Write an entry soon; it is dropped where Redis is behind by thousands."""
        with self._lock:
            self._pending.append((task_id, kind, datetime.now(UTC).isoformat(), data))
            del self._pending[PENDING_LIMIT:]
        if not self._filled.is_set():
            self._filled.set()

    def close(self, timeout: float = 5.0) -> None:
        """Write what is pending, for at most `timeout` seconds."""
        self._closing.set()
        self._filled.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        # What comes within a tenth of a second of the first entry goes with it.
        while not self._closing.is_set():
            self._filled.wait()
            self._closing.wait(FLUSH_SECONDS)
            self._filled.clear()
            with self._lock:
                pending, self._pending = self._pending, []
            for start in range(0, len(pending), BATCH):
                self._flush(pending[start : start + BATCH])

    def _flush(self, batch: Sequence[PendingEntry]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        progress = {
            Job.key_for(task_id): Progress.model_validate(data).model_dump_json()
            for task_id, kind, _, data in batch
            if kind is TaskEventKind.PROGRESS
        }
        if progress:
            pipeline.eval(SET_PROGRESS, len(progress), *progress, PROGRESS_FIELD, *progress.values())
        self._journal.add_many(pipeline, batch)
        try:
            pipeline.execute()
            self._away = False
        except RedisError as error:
            if not self._away:
                logger.warning("journal entries are lost while Redis is away: %s", error)
            self._away = True
