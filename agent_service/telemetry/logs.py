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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
from opentelemetry import trace
from pythonjsonlogger.core import RESERVED_ATTRS, BaseJsonFormatter

from agent_service.settings import Settings
from agent_service.telemetry.contract import ServiceName
from agent_service.telemetry.identifiers import uuid7
from agent_service.telemetry.log_files import LogFile

logger = logging.getLogger(__name__)

MESSAGE_LIMIT = 32 * 1024
STACK_LIMIT = 64 * 1024
LABEL_LIMIT = 1024
LABELS_LIMIT = 64
TRUNCATED = "…[truncated]"
REDACTED = "[redacted]"

SECRET_SLACK = 1024
"""How far past its limit a text is searched for secrets, so that none is cut in two and left standing."""

_SECRET_NAME = re.compile(r"authorization|api[-_]?key|password|passwd|secret|token|cookie", re.IGNORECASE)
_COUNTED_NAME = re.compile(r"tokens|token_?(count|usage)", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"(?i)(bearer\s+|x-api-key:\s*)[^\s\"',]{8,}|(://[^\s:/@]*:)[^\s@/]+(?=@)|\bas_[\w-]{43,}")
_SECRET_HINTS = ("bearer", "x-api-key:", "://", "as_")
"""In lower case, one of them in every text that `_SECRET_TEXT` matches: looking for these costs a tenth."""
_LABEL_NAME = re.compile(r"[^A-Za-z0-9_]+")
_LINE = "ecs_line"
"""Where a record keeps its line: one `event.id`, and one call of each sink, however many handlers there are."""
_OWN_ATTRIBUTES = frozenset((*RESERVED_ATTRS, "message", "asctime", "taskName", "color_message"))


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
_failing_sinks: set[Sink] = set()


def add_sink(sink: Sink) -> None:
    """Hand every line of a task to `sink` too, as the data that is written, which it must not change.

    A sink that raises costs no line; it is told once.
    """
    _sinks.append(sink)


def remove_sink(sink: Sink) -> None:
    """Stop that."""
    _sinks.remove(sink)
    _failing_sinks.discard(sink)


@contextmanager
def bound(context: LogContext) -> Iterator[None]:
    """Let the lines logged inside carry a task."""
    token = log_context.set(context)
    try:
        yield
    finally:
        log_context.reset(token)


class _Line(str):
    """A line that the formatter wrote, and no `extra` of the same name."""

    __slots__ = ()


class EcsFormatter(BaseJsonFormatter):
    """Turns a log record into one line of JSON."""

    def __init__(self, service: ServiceName, secrets: frozenset[str] = frozenset()) -> None:
        """Make a formatter.

        Args:
            service: `service.name`.
            secrets: Texts that are blotted out wherever they stand.
        """
        super().__init__()
        self._secrets = sorted(secrets, key=len, reverse=True)
        # What is the same in every line of a process is made once.
        self._service = {"name": str(service), "version": version("agent-service")}
        self._host = {"name": socket.gethostname()}
        self._process = {"pid": os.getpid()}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, without the line break; the same one to every handler."""
        written: object = getattr(record, _LINE, None)
        if not isinstance(written, _Line):
            written = self._write(record)
            setattr(record, _LINE, written)
        return written

    def _write(self, record: logging.LogRecord) -> _Line:
        context = log_context.get()
        line = self._base(record, _message(record))
        try:
            self._add_circumstances(line, record, context)
            written = orjson.dumps(line)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the rest, the message must come out
            line = self._base(record, _message(record))
            line["labels"] = {"unwritten": type(error).__name__}
            written = orjson.dumps(line)
        if context is not None:
            _tell_sinks(context, line)
        return _Line(written, "utf-8")

    def _base(self, record: logging.LogRecord, message: str) -> dict[str, Any]:
        """Return the fields that no line lacks."""
        return {
            "@timestamp": _timestamp(record.created),
            "log": {"level": _utf8(record.levelname.lower()), "logger": _utf8(record.name)},
            "message": self._clean(message, MESSAGE_LIMIT),
            "service": self._service,
            "host": self._host,
            "process": self._process,
            "event": {"id": uuid7()},
        }

    def _add_circumstances(self, line: dict[str, Any], record: logging.LogRecord, context: LogContext | None) -> None:
        _add_trace(line)
        if context is not None:
            _add_task(line, context)
        if record.exc_info:
            self._add_error(line, record)
        elif record.stack_info:
            line["error"] = {"stack_trace": self._clean(record.stack_info, STACK_LIMIT)}
        labels = self._labels(record)
        if labels:
            line["labels"] = labels

    def _add_error(self, line: dict[str, Any], record: logging.LogRecord) -> None:
        kind, error, _ = record.exc_info or (None, None, None)
        if kind is None or error is None:
            return
        stack = "".join(traceback.format_exception(error))
        line["error"] = {
            "type": kind.__qualname__,
            "message": self._clean(_shown(error), MESSAGE_LIMIT),
            "stack_trace": self._clean(stack, STACK_LIMIT),
        }

    def _labels(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what was given as `extra`, flat and under names that no mapping minds."""
        extra = [(key, value) for key, value in record.__dict__.items() if key not in _OWN_ATTRIBUTES]
        labels: dict[str, Any] = {}
        for key, value in extra[:LABELS_LIMIT]:
            name = _LABEL_NAME.sub("_", str(key))[:128] or "_"
            labels[name] = REDACTED if _is_secret(name, value) else self._label(value)
        return labels

    def _label(self, value: object) -> str | int | float | bool | None:
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**63 else str(value)
        text = str(value) if isinstance(value, str) else _encoded(value)
        return self._clean(text, LABEL_LIMIT)

    def _clean(self, text: str, limit: int) -> str:
        """Cut a text to size, blot out secrets, and replace what UTF-8 cannot say."""
        is_long = len(text) > limit
        if is_long:
            text = text[: limit + SECRET_SLACK]
        text = _utf8(text)
        lower = text.lower()
        if any(hint in lower for hint in _SECRET_HINTS):
            text = _SECRET_TEXT.sub(_blot, text)
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text[:limit] + TRUNCATED if is_long else text


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
    root.setLevel(settings.lowest_level)
    # What no line tells need not be found out for each of them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
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


def _file_handler(service: ServiceName, settings: Settings) -> LogFile:
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
        return LogFile(path, max_bytes=settings.log_file_bytes, backups=settings.log_files)
    except OSError as error:
        raise LogDirectoryError(f"LOG_DIR {directory} cannot be written: {error.strerror}") from error


def _remove_old_files(directory: Path, service: ServiceName, oldest: float) -> None:
    """Remove the files of processes that are long gone, which nothing else would rotate away."""
    for path in directory.glob(f"{service}-*.json*"):
        with suppress(FileNotFoundError):  # another process that starts now removes them too
            if path.stat().st_mtime < oldest:
                path.unlink()


def _secrets_of(settings: Settings) -> frozenset[str]:
    secrets = set()
    if settings.api_key is not None:
        secrets.add(settings.api_key.get_secret_value())
    if settings.redis_url is not None:
        password = urlsplit(settings.redis_url.get_secret_value()).password or ""
        secrets |= {password, unquote(password)}
    return frozenset(secret for secret in secrets if len(secret) >= 4)


_second: tuple[int, str] = (0, "")


def _timestamp(created: float) -> str:
    """Return RFC 3339 with milliseconds; the second's text is kept, since many lines share it."""
    global _second
    second = int(created)
    known, text = _second  # read once: another thread may be in another second
    if known != second:
        text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _second = (second, text)
    return f"{text}.{int((created - second) * 1000):03d}Z"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a line with a bad format is still a line
        return f"{_shown(record.msg)} (arguments do not fit: {_shown(record.args)})"


def _shown(value: object) -> str:
    """Return `value` as text, or its type where it cannot be printed."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - as above
        return f"<{type(value).__name__}>"


def _utf8(text: str) -> str:
    """Return `text` without what UTF-8 cannot say."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


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
        try:
            sink(context, line)
        except Exception as error:  # noqa: BLE001 - keeping a line for its task must not cost the line itself
            if sink not in _failing_sinks:
                _failing_sinks.add(sink)
                _warn_of_sink(error)
        else:
            _failing_sinks.discard(sink)


def _warn_of_sink(error: Exception) -> None:
    token = log_context.set(None)  # or the warning would go to the sink
    try:
        logger.warning("lines of tasks are not kept: %s", _shown(error))
    finally:
        log_context.reset(token)


def _is_secret(name: str, value: object) -> bool:
    """Whether a value is blotted out for its name; numbers of tokens are not."""
    if not _SECRET_NAME.search(name):
        return False
    return not (isinstance(value, int | float) and _COUNTED_NAME.search(name))


def _without_secrets(value: object) -> object:
    """Return nested data with the values of secret names blotted out, however deep they are."""
    if isinstance(value, Mapping):
        return {
            key: REDACTED if _is_secret(_shown(key), inner) else _without_secrets(inner) for key, inner in value.items()
        }
    return [_without_secrets(inner) for inner in value] if isinstance(value, list | tuple) else value


def _encoded(value: object) -> str:
    try:
        return orjson.dumps(_without_secrets(value), default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except Exception:  # noqa: BLE001 - an object that cannot even be printed must not cost the line
        return f"<{type(value).__name__}>"


def _blot(match: re.Match[str]) -> str:
    return (match[1] or match[2] or "") + REDACTED
