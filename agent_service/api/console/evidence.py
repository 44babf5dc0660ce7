"""What a task left behind: its spans and log lines, from its journal, or from the archive once that is over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_service.api.console.console import Console
from agent_service.tasks.models import SpanRecord, TaskEvent, TaskEventKind
from agent_service.telemetry.contract import Field


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log line, as a page shows it.

    Attributes:
        at: Its time, as it was written.
        more: What else it says, by field.
    """

    at: str
    level: str
    logger: str
    message: str
    stack_trace: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


def spans_of(console: Console, trace_id: str | None) -> list[SpanRecord]:
    """Return what is kept of a trace, by start."""
    if not trace_id:
        return []
    return console.services.journal.spans(trace_id) or console.archive.spans(trace_id)


def archived_lines(console: Console, task_id: str) -> list[LogLine]:
    """Return the log lines of a task that are kept outside of its journal, oldest first."""
    return [read_line(line) for line in console.archive.log_lines(task_id)]


def log_lines(events: Iterable[TaskEvent]) -> list[LogLine]:
    """Return the log lines among the events of a task, oldest first."""
    return [read_line(event.data) for event in events if event.kind is TaskEventKind.LOG]


def read_line(entry: Mapping[str, Any]) -> LogLine:
    """Return a log line from its JSON."""
    return LogLine(
        at=str(entry.get(Field.TIMESTAMP, "")),
        level=str(_at(entry, Field.LOG_LEVEL) or "info"),
        logger=str(_at(entry, Field.LOG_LOGGER) or ""),
        message=str(entry.get(Field.MESSAGE, "")),
        stack_trace=str(_at(entry, Field.ERROR_STACK_TRACE) or ""),
        more=_more(entry),
    )


def _more(entry: Mapping[str, Any]) -> dict[str, str]:
    labels = entry.get(Field.LABELS)
    more = {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}
    error = _at(entry, Field.ERROR_TYPE)
    return {**({"error": f"{error}: {_at(entry, Field.ERROR_MESSAGE) or ''}"} if error else {}), **more}


def _at(entry: Mapping[str, Any], path: str) -> Any:
    """Return what is at a dotted path, nested or not."""
    if path in entry:
        return entry[path]
    value: Any = entry
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
