"""Logs as one JSON object a line, in the fields of the Elastic Common Schema.

Objects are nested (`{"log": {"level": "info"}}`), since Logstash finds `[event][id]` only so. Whatever is logged, a
line comes out, and only one.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from opentelemetry import trace
from pythonjsonlogger.core import RESERVED_ATTRS, BaseJsonFormatter

from agent_service.settings import Settings
from agent_service.telemetry.contract import ServiceName
from agent_service.telemetry.identifiers import uuid7

MESSAGE_LIMIT = 32 * 1024
STACK_LIMIT = 64 * 1024
LABEL_LIMIT = 1024
LABELS_LIMIT = 64
TRUNCATED = "…[truncated]"
REDACTED = "[redacted]"

_SECRET_NAME = re.compile(r"authorization|api[-_]?key|password|passwd|secret|token|cookie", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"(?i)(bearer\s+|x-api-key:\s*)[^\s\"',]{8,}|(://[^\s:/@]*:)[^\s@/]+(?=@)|\bas_[\w-]{43,}")
_LABEL_NAME = re.compile(r"[^A-Za-z0-9_]+")
_LINE = "ecs_line"
"""Where a record keeps its line: one `event.id`, and one call of each sink, however many handlers there are."""
_OWN_ATTRIBUTES = frozenset((*RESERVED_ATTRS, "message", "asctime", "taskName", "color_message", _LINE))


class LogDirectoryError(Exception):
    """The log directory cannot be written; the message names it."""


@dataclass(frozen=True, slots=True)
class LogContext:
    """The task that a line belongs to."""

    task_id: str
    agent_name: str
    agent_id: str
    workflow_id: str | None = None


log_context: ContextVar[LogContext | None] = ContextVar("log_context", default=None)

Sink = Callable[[LogContext, dict[str, Any]], None]
_sinks: list[Sink] = []


def add_sink(sink: Sink) -> None:
    """Hand every line of a task to `sink` too, as the data that is written."""
    _sinks.append(sink)


def remove_sink(sink: Sink) -> None:
    """Stop that."""
    _sinks.remove(sink)


@contextmanager
def bound(context: LogContext) -> Iterator[None]:
    """Let the lines logged inside carry a task."""
    token = log_context.set(context)
    try:
        yield
    finally:
        log_context.reset(token)


class EcsFormatter(BaseJsonFormatter):
    """Turns a log record into one line of JSON."""

    def __init__(self, service: ServiceName, secrets: frozenset[str] = frozenset()) -> None:
        """Make a formatter.

        Args:
            service: `service.name`.
            secrets: Texts that are blotted out wherever they stand.
        """
        super().__init__()
        self._secrets = re.compile("|".join(re.escape(secret) for secret in secrets)) if secrets else None
        # What is the same in every line of a process is encoded once.
        self._service = orjson.Fragment(orjson.dumps({"name": service, "version": version("agent-service")}))
        self._host = orjson.Fragment(orjson.dumps({"name": socket.gethostname()}))
        self._process = orjson.Fragment(orjson.dumps({"pid": os.getpid()}))

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, without the line break; the same one to every handler."""
        written: str | None = getattr(record, _LINE, None)
        if written is None:
            written = self._write(record)
            setattr(record, _LINE, written)
        return written

    def _write(self, record: logging.LogRecord) -> str:
        context = log_context.get()
        line: dict[str, Any] = {
            "@timestamp": _timestamp(record.created),
            "log": {"level": record.levelname.lower(), "logger": record.name},
            "message": self._clean(_message(record), MESSAGE_LIMIT),
            "service": self._service,
            "host": self._host,
            "process": self._process,
            "event": {"id": uuid7()},
        }
        _add_trace(line)
        if context is not None:
            _add_task(line, context)
        if record.exc_info:
            self._add_error(line, record)
        labels = self._labels(record)
        if labels:
            line["labels"] = labels
        if context is not None:
            _tell_sinks(context, line)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()

    def _add_error(self, line: dict[str, Any], record: logging.LogRecord) -> None:
        kind, error, _ = record.exc_info or (None, None, None)
        if kind is None or error is None:
            return
        stack = "".join(traceback.format_exception(error))
        line["error"] = {
            "type": kind.__qualname__,
            "message": self._clean(str(error), MESSAGE_LIMIT),
            "stack_trace": self._clean(stack, STACK_LIMIT),
        }

    def _labels(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what was given as `extra`, flat and under names that no mapping minds."""
        extra = [(key, value) for key, value in record.__dict__.items() if key not in _OWN_ATTRIBUTES]
        labels: dict[str, Any] = {}
        for key, value in extra[:LABELS_LIMIT]:
            name = _LABEL_NAME.sub("_", str(key))[:128]
            labels[name] = REDACTED if _SECRET_NAME.search(name) else self._label(value)
        return labels

    def _label(self, value: object) -> str | int | float | bool | None:
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**63 else str(value)
        text = value if isinstance(value, str) else _encoded(value)
        return self._clean(text, LABEL_LIMIT)

    def _clean(self, text: str, limit: int) -> str:
        """Cut a text to size, blot out secrets, and replace what UTF-8 cannot say."""
        if len(text) > limit:
            text = text[:limit] + TRUNCATED
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()
        text = _SECRET_TEXT.sub(_blot, text)
        return self._secrets.sub(REDACTED, text) if self._secrets else text


def configure_logging(service: ServiceName, settings: Settings, *, stdout: bool = True) -> None:
    """Let everything that this process logs go to stdout and to its own rotating file, as JSON.

    Args:
        service: Which kind of process this is.
        settings: Level, directory, sizes, and the secrets that must not be seen.
        stdout: Whether to write to stdout too.

    Raises:
        LogDirectoryError: The log directory cannot be written.
    """
    formatter = EcsFormatter(service, _secrets_of(settings))
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)] if stdout else []
    if settings.log_dir is not None:
        handlers.append(_file_handler(service, settings))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(settings.log_level)
    logging.captureWarnings(True)
    _quieten()


def _quieten() -> None:
    """Route the libraries' own loggers here, and drop what is said elsewhere already."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "rq.worker", "rq.job"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("uvicorn", "rq", "rq.worker", "rq.job", "rq.queue", "rq.scheduler", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _file_handler(service: ServiceName, settings: Settings) -> RotatingFileHandler:
    """Return a handler that renames full files to `.json.1`, `.json.2` and so on.

    Renaming, not truncating: whoever reads the file follows its inode to the end.
    """
    directory = settings.log_dir
    if directory is None:
        raise LogDirectoryError("LOG_DIR is not set")
    path = directory / f"{service}-{socket.gethostname()}-{os.getpid()}.json"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _remove_old_files(directory, service, time.time() - settings.log_days * 24 * 3600)
        return RotatingFileHandler(
            path, maxBytes=settings.log_file_bytes, backupCount=settings.log_files, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise LogDirectoryError(f"LOG_DIR {directory} cannot be written: {error.strerror}") from error


def _remove_old_files(directory: Path, service: ServiceName, oldest: float) -> None:
    """Remove the files of processes that are long gone, which nothing else would rotate away."""
    for path in directory.glob(f"{service}-*.json*"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _secrets_of(settings: Settings) -> frozenset[str]:
    secrets = set()
    if settings.api_key is not None:
        secrets.add(settings.api_key.get_secret_value())
    if settings.redis_url is not None:
        secrets.add(urlsplit(settings.redis_url.get_secret_value()).password or "")
    return frozenset(secret for secret in secrets if len(secret) >= 4)


_second: tuple[int, str] = (0, "")


def _timestamp(created: float) -> str:
    """Return RFC 3339 with milliseconds; the second's text is kept, since many lines share it."""
    global _second
    second = int(created)
    if _second[0] != second:
        _second = (second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return f"{_second[1]}.{int((created - second) * 1000):03d}Z"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a line with a bad format is still a line
        return f"{record.msg!s} (arguments do not fit: {record.args!r})"


def _add_trace(line: dict[str, Any]) -> None:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        trace_id = f"{context.trace_id:032x}"
        line["trace"] = {"id": trace_id}
        line["span"] = {"id": f"{context.span_id:016x}"}
        line["trace_id"] = trace_id


def _add_task(line: dict[str, Any], context: LogContext) -> None:
    line["task"] = {"id": context.task_id}
    line["gen_ai"] = {"agent": {"name": context.agent_name, "id": context.agent_id}}
    if context.workflow_id:
        line["workflow"] = {"id": context.workflow_id}


def _tell_sinks(context: LogContext, line: dict[str, Any]) -> None:
    for sink in _sinks:
        sink(context, line)


def _encoded(value: object) -> str:
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except Exception:  # noqa: BLE001 - an object that cannot even be printed must not cost the line
        return f"<{type(value).__name__}>"


def _blot(match: re.Match[str]) -> str:
    return (match[1] or match[2] or "") + REDACTED
