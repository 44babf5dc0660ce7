"""What every kind of profile comes down to: weighted stacks, and a table by function or line."""

from __future__ import annotations

import linecache
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from pydantic import BaseModel, Field

from agent_service.telemetry.profiles.own_code import OwnCode, short_path

ROWS_LIMIT = 200
"""Rows of a table; the rest adds up to little."""
STACKS_LIMIT = 4_000
"""Stacks that are kept; the lightest go."""
DEPTH_LIMIT = 100
"""Frames of a stack that are kept, from the outermost in."""
DECORATOR_LINES = 40
"""How far below its first decorator a function's `def` is looked for."""
SOURCE_LIMIT = 200
"""Characters of a line's text that are kept."""


class ProfileKind(StrEnum):
    """How a profile is taken."""

    CPROFILE = "cprofile"
    LINE = "line"
    SAMPLE = "sample"
    MEMORY = "memory"


class Unit(StrEnum):
    """What the weight of a stack counts."""

    SECONDS = "seconds"
    BYTES = "bytes"


class Place(NamedTuple):
    """A function, and the line in it that ran; where only functions are known, the line at which it is defined.

    Attributes:
        file: The path as Python knows it; empty for what is built in.
        line: From 1; 0 where it is not known.
    """

    function: str
    file: str
    line: int


Stack = tuple[Place, ...]
"""Places from the outermost to the innermost."""


class Row(BaseModel):
    """One line, or one function, of a profile's table; what a kind does not measure is null.

    Attributes:
        file: Path of the file, relative to where Python looks for modules.
        line: Line number; of a function, that of its definition.
        self_seconds: Time in it, without what it calls.
        total_seconds: Time in it, with what it calls.
        bytes: Memory that it held when the process held the most.
        source: The text of the line.
    """

    function: str
    file: str
    line: int
    calls: int | None = None
    self_seconds: float | None = None
    total_seconds: float | None = None
    bytes: int | None = None
    source: str | None = Field(default=None, description="The text of the line.")

    @property
    def cost(self) -> float:
        """What the table is sorted by."""
        return next((cost for cost in (self.self_seconds, self.bytes, self.total_seconds) if cost is not None), 0)

    @property
    def place(self) -> str:
        """Function and `file:line`, as people say it."""
        return f"{self.function} ({self.file}:{self.line})" if self.file else self.function


@dataclass(slots=True)
class Measured:
    """A profile before it is kept.

    Attributes:
        unit: What the weights count.
        stacks: Stacks and their weights, with short paths.
        rows: The table, most expensive first.
        top: The row of the agent's own code that took most, or of any code where it has none.
        note: What a reader must know to judge it, such as what was not measured.
        own_files: Short paths of the files with code of the reader's own.
    """

    unit: Unit
    stacks: dict[Stack, float]
    rows: list[Row]
    top: Row | None = None
    note: str | None = None
    own_files: frozenset[str] = frozenset()

    @property
    def total(self) -> float:
        """The weight of all stacks."""
        return sum(self.stacks.values())


@dataclass(slots=True)
class _Sums:
    own: float = 0.0
    all: float = 0.0
    calls: int = 0


@dataclass(slots=True)
class StackTable:
    """Adds up stacks of lines, and makes the table and the choice of the top line from them.

    Attributes:
        own: Which code is the agent's own.
        stacks: The stacks, with the paths of the files as Python knows them.
    """

    unit: Unit
    own: OwnCode
    stacks: defaultdict[Stack, float] = field(default_factory=lambda: defaultdict(float))
    _calls: defaultdict[Place, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, stack: Stack, weight: float, calls: int = 0) -> None:
        """Count a stack.

        Args:
            stack: From the outermost to the innermost.
            weight: In the table's unit.
            calls: How many allocations it stands for, of its innermost place.
        """
        if stack and weight > 0:
            self.stacks[stack] += weight
            self._calls[stack[-1]] += calls

    def measured(self, note: str | None = None) -> Measured:
        """Return the profile."""
        rows = self._rows()
        own = frozenset(short_path(place.file) for place in rows if place.file in self.own)
        top = charged_place(self.stacks, self.own)
        return Measured(self.unit, shortened(self.stacks), ranked(rows.values()), rows[top] if top else None, note, own)

    def _rows(self) -> dict[Place, Row]:
        sums: defaultdict[Place, _Sums] = defaultdict(_Sums)
        for stack, weight in self.stacks.items():
            sums[stack[-1]].own += weight
            for place in set(stack):
                sums[place].all += weight
        return {place: self._row(place, amount) for place, amount in sums.items()}

    def _row(self, place: Place, amount: _Sums) -> Row:
        row = row_at(place)
        if self.unit is Unit.BYTES:
            return row.model_copy(update={"bytes": round(amount.own), "calls": self._calls[place] or None})
        return row.model_copy(update={"self_seconds": amount.own, "total_seconds": amount.all})


def charged_place(stacks: Mapping[Stack, float], own: OwnCode) -> Place | None:
    """Return the own place with the most to answer for: what libraries did on its behalf counts as its own."""
    charged: defaultdict[Place, float] = defaultdict(float)
    for stack, weight in stacks.items():
        charged[next((place for place in reversed(stack) if place.file in own), stack[-1])] += weight
    return max(charged, key=lambda place: (place.file in own, charged[place]), default=None)


def row_at(place: Place) -> Row:
    """Return a row without numbers, with the text of its line."""
    return Row(
        function=place.function, file=short_path(place.file), line=place.line, source=source_of(place.file, place.line)
    )


def ranked(rows: Iterable[Row]) -> list[Row]:
    """Return the most expensive rows, in order."""
    return sorted(rows, key=lambda row: row.cost, reverse=True)[:ROWS_LIMIT]


def shortened(stacks: Mapping[Stack, float]) -> dict[Stack, float]:
    """Return the heaviest stacks, cut in depth, with short paths."""
    kept: defaultdict[Stack, float] = defaultdict(float)
    for stack, weight in sorted(stacks.items(), key=lambda item: item[1], reverse=True)[:STACKS_LIMIT]:
        kept[tuple(place._replace(file=short_path(place.file)) for place in stack[:DEPTH_LIMIT])] += weight
    return dict(kept)


@lru_cache(maxsize=4096)
def definition_line(file: str, line: int) -> int:
    """Return the line of a function's `def`, given its first, which is that of its first decorator where it has one."""
    if not linecache.getline(file, line).lstrip().startswith("@"):
        return line
    following = range(line + 1, line + DECORATOR_LINES)
    defined = (n for n in following if linecache.getline(file, n).lstrip().startswith(("def ", "async def ")))
    return next(defined, line)


def source_of(file: str, line: int) -> str | None:
    """Return the text of a line, or None where there is none."""
    return linecache.getline(file, line).strip()[:SOURCE_LIMIT] or None
