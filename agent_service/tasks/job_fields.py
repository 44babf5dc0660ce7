"""Reads a job's hash without RQ, whose own reading costs more than everything else that is done for a short task."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from agent_service.tasks.jobs import ATTEMPTS_FIELD, FIRST_PROCESS_FIELD, STOP_FIELD, TASK_FUNCTION, TaskMeta

FIELDS = (
    "status", STOP_FIELD, ATTEMPTS_FIELD, "description", "data", "meta", "timeout", "enqueued_at", "created_at",
    FIRST_PROCESS_FIELD, "result_ttl", "dependency_ids", "rate_limit_key", "repeats_left", "success_callback_name",
)  # fmt: skip
"""What a worker wants to know of a job; the script looks at the first four by their place."""
UNUSUAL_FIELDS = ("rate_limit_key", "repeats_left", "success_callback_name")
"""With any of these in its job, a task's success is more than a result that is kept for a while."""


@dataclass(frozen=True, slots=True)
class JobFields:
    """The hash of one job, as RQ writes it.

    Attributes:
        raw: The values of `FIELDS`, None where there is none.
    """

    raw: Mapping[str, bytes | None]

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> JobFields:
        """Read what a script returns for a job."""
        return cls(dict(zip(FIELDS, values, strict=True)))

    def text(self, name: str) -> str:
        """Return a field, or an empty text where it is missing."""
        return (self.raw[name] or b"").decode()

    def number(self, name: str) -> int:
        """Return a field, or 0 where it is missing."""
        return int(self.raw[name] or 0)

    def moment(self, name: str) -> datetime | None:
        """Return a field that holds a time."""
        text = self.raw[name]
        return datetime.fromisoformat(text.decode()) if text else None

    def is_usual(self) -> bool:
        """Return whether the success of the task is a result that is kept for a while, and nothing else."""
        return self.number("result_ttl") > 0 and not any(self.raw[name] for name in UNUSUAL_FIELDS)

    def call(self) -> tuple[str | None, dict[str, Any]]:
        """Return the agent and its input, or no agent for a job that is none of ours."""
        try:
            function, _, _, arguments = _read_json(_inflated(self.raw["data"] or b""))
            if function == TASK_FUNCTION:
                return arguments["agent"], arguments["payload"]
        except (ValueError, KeyError, TypeError):
            pass
        return None, {}

    def meta(self) -> TaskMeta:
        """Return the job's meta; a job that somebody else enqueued reads as one of agent `unknown`."""
        raw = self.raw["meta"]
        meta = _read_json(raw) if raw else {}
        if "agent" not in meta:
            return TaskMeta(agent="unknown", submitted_at=self.moment("created_at") or datetime.now(UTC))
        return TaskMeta.model_validate(meta)


def _inflated(data: bytes) -> bytes:
    """Return what RQ has compressed; it also reads what is not."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def _read_json(data: bytes) -> Any:
    """Return what JSON says, also where it says NaN or Infinity as Python's own writer does."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)
