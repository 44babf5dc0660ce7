"""Reads and checks `patterns.toml`."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

NAME = re.compile(r"Log[A-Z][A-Za-z0-9]+")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_WINDOW = timedelta(days=1)


class PatternError(Exception):
    """A file of patterns cannot be used; the message has a line for each fault, with the pattern and the field."""


def parse_duration(value: object) -> timedelta:
    """Return the duration that a text such as `30s`, `5m`, `1h` or `1d` means.

    Raises:
        ValueError: It is none.
    """
    found = re.fullmatch(r"(\d+)([smhd])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is no duration such as 30s, 5m or 1h")
    return timedelta(seconds=int(found[1]) * UNITS[found[2]])


class Pattern(BaseModel):
    """One thing to look for.

    Attributes:
        name: The alert's name, and that of its page in docs/runbooks.
        summary: What it means that it was found, in one sentence.
        query: Which lines count, in Lucene's query language.
        threshold: How many of them within `window` are an alert; 1 fires on the first.
        window: See above; at most a day.
        severity: critical, warning or info.
        team: Who is told.
        index: Where to look.
        dashboard: Grafana's uid of the dashboard to open.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    summary: str = Field(min_length=1, max_length=200)
    query: str = Field(min_length=1)
    threshold: int = Field(ge=1, strict=True)
    window: Annotated[timedelta, BeforeValidator(parse_duration)]
    severity: Literal["critical", "warning", "info"]
    team: Literal["agents", "platform"]
    index: str = Field(default="logs-agents-default", pattern=r"^[a-z0-9.*-]+$")
    dashboard: str = Field(default="logs", pattern=r"^[a-z0-9-]+$")

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        """Keep the names apart from those of Prometheus' alerts."""
        if not NAME.fullmatch(value):
            raise ValueError("it must begin with Log and go on in CamelCase, such as LogTaskLost")
        return value

    @field_validator("query")
    @classmethod
    def _check_query(cls, value: str) -> str:
        """Find what Elasticsearch would refuse, as far as counting shows it."""
        bare = re.sub(r"\\.", "", value)
        if bare.count('"') % 2:
            raise ValueError("a quotation mark is not closed")
        outside = re.sub(r'"[^"]*"', "", bare)
        if outside.count("(") != outside.count(")"):
            raise ValueError("the parentheses do not match")
        return value

    @field_validator("window")
    @classmethod
    def _check_window(cls, value: timedelta) -> timedelta:
        if not timedelta(0) < value <= LONGEST_WINDOW:
            raise ValueError("it must be above 0 and at most a day")
        return value


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pattern: list[Pattern] = Field(min_length=1)


def load(file: Path) -> list[Pattern]:
    """Return the patterns of a file, in its order.

    Raises:
        PatternError: The file cannot be read, is no TOML, or has a pattern that cannot be used.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PatternError(f"{file}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # no UTF-8, or no TOML
        raise PatternError(f"{file}: is no TOML: {error}") from error
    try:
        patterns = _File.model_validate(document).pattern
    except ValidationError as error:
        raise PatternError("\n".join(f"{file}: {line}" for line in _faults(error, document))) from error
    names = [pattern.name for pattern in patterns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PatternError(f"{file}: there is more than one pattern of the name {', '.join(twice)}")
    return patterns


def _faults(error: ValidationError, document: dict[str, Any]) -> list[str]:
    """Return a line for each fault that says which pattern it is in."""
    lines = []
    for fault in error.errors():
        where = list(fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        if len(where) > 1 and isinstance(where[1], int):
            entry = document["pattern"][where[1]]
            name = entry.get("name") if isinstance(entry, dict) else None
            where[:2] = [f"pattern {name or f'number {where[1] + 1}'}"]
        lines.append(f"{': '.join(map(str, where))}: {message}")
    return lines
