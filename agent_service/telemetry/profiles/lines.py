"""Every line of the agent's own code, counted and timed, by line_profiler."""

from __future__ import annotations

import dis
import os
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import CodeType, FunctionType
from typing import Any

from agent_service.telemetry.profiles.collectors import ProfilerBusyError
from agent_service.telemetry.profiles.measured import Measured, Place, Row, Stack, Unit, ranked, row_at, shortened
from agent_service.telemetry.profiles.own_code import OwnCode

# Its other core listens to all threads of the process. It is chosen when the module is imported.
os.environ.setdefault("LINE_PROFILER_CORE", "legacy")

from line_profiler import LineProfiler

FUNCTIONS_LIMIT = 2_000
"""Functions that are watched; a package with more is only watched in part."""
STEPS_NOTE = "an async agent: its steps are timed, not its waits; `sample` shows waits"

LineKey = tuple[str, int, str]
"""File, first line and name of a function: line_profiler's own."""
Timing = tuple[int, int, int]
"""Line, how often it ran, and its time in the profiler's unit."""


class LineProfile:
    """Times each line of the functions that the agent's module and package define."""

    def __init__(self, own: OwnCode, *, by_steps: bool) -> None:
        self._functions = list(own.functions())[:FUNCTIONS_LIMIT]
        self._by_steps = by_steps
        self._profiler = LineProfiler()
        self._codes: list[tuple[FunctionType, CodeType]] = []

    def begin(self) -> None:
        """Begin; with steps, at the first of them."""
        if not self._functions:
            raise ProfilerBusyError("the agent's module has no source file, so there are no lines to time")
        # The profiler gives each function a code of its own, to know it by.
        self._codes = [(function, function.__code__) for function in self._functions]
        for function, _ in self._codes:
            self._profiler.add_function(function)
        if not self._by_steps:
            self._profiler.enable_by_count()

    def watch(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Do nothing: its steps are enough."""

    def end(self) -> Callable[[], Measured]:
        """End, and give the functions back the code that they had."""
        if not self._by_steps:
            self._profiler.disable_by_count()
        for function, code in self._codes:
            function.__code__ = code
        stats = self._profiler.get_stats()
        codes = {(code.co_filename, code.co_firstlineno): code for _, code in self._codes}
        return lambda: _measured(stats.timings, stats.unit, codes, self._by_steps)

    def step_begins(self) -> None:
        """Time what follows on this thread."""
        self._profiler.enable_by_count()

    def step_ends(self) -> None:
        """Time no more."""
        self._profiler.disable_by_count()


def _measured(
    timings: Mapping[LineKey, Iterable[Timing]],
    unit: float,
    codes: Mapping[tuple[str, int], CodeType],
    by_steps: bool,
) -> Measured:
    rows: dict[Place, Row] = {}
    own_times = _own_times(timings, codes)
    stacks: dict[Stack, float] = {}
    for (file, first, function), lines in timings.items():
        for line, hits, time in lines:
            place = Place(function, file, line)
            own = own_times[place] * unit
            rows[place] = row_at(place).model_copy(
                update={"calls": hits, "self_seconds": own, "total_seconds": time * unit}
            )
            if own > 0:
                stacks[(Place(function, file, first), place)] = own
    return Measured(
        unit=Unit.SECONDS,
        stacks=shortened(stacks),
        rows=ranked(rows.values()),
        top=max(rows.values(), key=lambda row: row.cost, default=None),
        note=STEPS_NOTE if by_steps else None,
        own_files=frozenset(row.file for row in rows.values()),
    )


def _own_times(
    timings: Mapping[LineKey, Iterable[Timing]], codes: Mapping[tuple[str, int], CodeType]
) -> dict[Place, float]:
    """Return the time of each line without that of the watched functions that it names.

    A line's time holds that of what it calls, so a line would hide behind all those that lead to it. Which line called
    a function is not measured: its time is shared out over the lines that name it, by their own.
    """
    callers: defaultdict[str, list[tuple[Place, float]]] = defaultdict(list)
    totals: defaultdict[str, float] = defaultdict(float)
    own: dict[Place, float] = {}
    for (file, first, function), lines in timings.items():
        names = _names_by_line(codes.get((file, first)))
        for line, _hits, time in lines:
            own[Place(function, file, line)] = float(time)
            totals[_plain(function)] += time
            for name in names.get(line, ()):
                if name != _plain(function):
                    callers[name].append((Place(function, file, line), float(time)))
    for name, lines_that_name_it in callers.items():
        together = sum(share for _, share in lines_that_name_it)
        for place, share in lines_that_name_it:
            own[place] = max(0.0, own[place] - totals.get(name, 0.0) * share / together) if together else 0.0
    return own


def _names_by_line(code: CodeType | None) -> dict[int, set[str]]:
    names: defaultdict[int, set[str]] = defaultdict(set)
    line = 0
    for instruction in dis.get_instructions(code) if code is not None else ():
        position = instruction.positions
        line = (position.lineno if position else None) or line
        if isinstance(instruction.argval, str):
            names[line].add(instruction.argval)
    return names


def _plain(function: str) -> str:
    """Return a function's name without the class that it is in."""
    return function.rpartition(".")[2]
