"""Every function call, counted and timed, by cProfile."""

from __future__ import annotations

import cProfile
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from agent_service.telemetry import resources
from agent_service.telemetry.profiles.collectors import ProfilerBusyError
from agent_service.telemetry.profiles.measured import (
    Measured,
    Place,
    Row,
    Stack,
    Unit,
    charged_place,
    definition_line,
    ranked,
    row_at,
    shortened,
)
from agent_service.telemetry.profiles.own_code import PLUMBING, OwnCode, short_path

STEPS_NOTE = "an async agent: its steps are timed, not its waits, and each step counts as a call; `sample` shows waits"
MIN_SHARE = 0.0005
"""Branches of the call tree below this share of the whole are left out."""
TREE_DEPTH = 60

FunctionKey = tuple[str, int, str]
"""File, line of the definition and name: pstats' own."""


class CallProfile:
    """Times each function.

    cProfile knows who called whom, but no whole stacks: the flame graph shares the time of a function out over its
    callers in proportion, which is exact unless what a function costs depends on who calls it.
    """

    def __init__(self, own: OwnCode, *, by_steps: bool) -> None:
        self._own = own
        self._by_steps = by_steps
        self._profile = cProfile.Profile(timer=time.perf_counter)
        self._switch = _Filtered(self._profile) if sys.version_info >= (3, 12) else _PerThread(self._profile)

    def begin(self) -> None:
        """Begin; with steps, at the first of them."""
        self._switch.install()
        if not self._by_steps:
            self._switch.on()

    def watch(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Do nothing: its steps are enough."""

    def end(self) -> Callable[[], Measured]:
        """End."""
        self._switch.off()
        self._switch.remove()
        self._profile.create_stats()
        stats: dict[FunctionKey, Any] = self._profile.stats
        return lambda: _measured(stats, self._own, self._by_steps)

    def step_begins(self) -> None:
        """Time what follows."""
        self._switch.on()

    def step_ends(self) -> None:
        """Time no more."""
        self._switch.off()


class _PerThread:
    """Before Python 3.12 a profile sees the thread that enables it and no other."""

    def __init__(self, profile: cProfile.Profile) -> None:
        self._profile = profile
        self.on = profile.enable
        self.off = profile.disable

    def install(self) -> None:
        """Nothing is prepared."""

    def remove(self) -> None:
        """Nothing is left."""


class _Filtered:
    """From Python 3.12 on a profile sees every thread of the process, and mistakes their calls for one another's.

    Between the interpreter and the profile stands a filter here that lets only the calls of the right thread through,
    and only while it is on.

    Source: https://docs.python.org/3/library/sys.monitoring.html
    """

    def __init__(self, profile: cProfile.Profile) -> None:
        self._profile = profile
        self._thread: int | None = None

    def install(self) -> None:
        """Enable the profile behind the filter.

        Raises:
            ProfilerBusyError: Somebody else's profiler runs in this process.
        """
        try:
            self._profile.enable()
        except ValueError as error:
            raise ProfilerBusyError(str(error)) from error
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        for event in (getattr(monitoring.events, name) for name in _EVENTS):
            callback = monitoring.register_callback(monitoring.PROFILER_ID, event, None)
            if callback is not None:
                monitoring.register_callback(monitoring.PROFILER_ID, event, self._filter(callback))

    def _filter(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        ident = threading.get_ident

        def pass_on(code: Any, *rest: Any) -> Any:
            return callback(code, *rest) if ident() == self._thread and code.co_filename not in _ITSELF else None

        return pass_on

    def on(self) -> None:
        """Let the calls of this thread through."""
        self._thread = threading.get_ident()

    def off(self) -> None:
        """Let nothing through."""
        self._thread = None

    def remove(self) -> None:
        """Disable the profile."""
        self._profile.disable()


_ITSELF = frozenset((resources.__file__, *(str(file) for file in Path(__file__).parent.glob("*.py"))))
"""Files whose functions turn a profile on and off: of each pair of call and return it would see only one."""
_EVENTS = ("PY_START", "PY_RESUME", "PY_THROW", "PY_RETURN", "PY_YIELD", "PY_UNWIND", "CALL", "C_RETURN", "C_RAISE")


def _measured(stats: dict[FunctionKey, Any], own: OwnCode, by_steps: bool) -> Measured:
    stats = {key: value for key, value in stats.items() if not _is_plumbing(key)}
    rows = {key: _row(key, *value[:4]) for key, value in stats.items()}
    stacks = _CallTree(stats).stacks()
    top = charged_place(stacks, own)
    note = STEPS_NOTE if by_steps else None
    return Measured(
        unit=Unit.SECONDS,
        stacks=shortened(stacks),
        rows=ranked(rows.values()),
        top=next((row for key, row in rows.items() if _place(key) == top), None),
        note=note,
        own_files=frozenset(short_path(key[0]) for key in stats if key[0] in own),
    )


def _row(key: FunctionKey, _primitive_calls: int, calls: int, own_time: float, total_time: float) -> Row:
    return row_at(_place(key)).model_copy(
        update={"calls": calls, "self_seconds": own_time, "total_seconds": total_time}
    )


def _place(key: FunctionKey) -> Place:
    file, line, name = key
    return Place(name, "", 0) if file == "~" else Place(name, file, definition_line(file, line))


def _is_plumbing(key: FunctionKey) -> bool:
    return key[0].startswith(PLUMBING) or "_lsprof.Profiler" in key[2] or "of 'coroutine' objects" in key[2]


class _CallTree:
    """The call tree that the pairs of caller and callee allow."""

    def __init__(self, stats: dict[FunctionKey, Any]) -> None:
        self._total = {key: float(value[3]) for key, value in stats.items()}
        self._callees: defaultdict[FunctionKey, dict[FunctionKey, float]] = defaultdict(dict)
        from_outside = dict(self._total)
        for callee, value in stats.items():
            for caller, edge in value[4].items():
                if caller in stats and caller != callee:
                    self._callees[caller][callee] = float(edge[3])
                    from_outside[callee] -= float(edge[3])
        self._roots = {key: seconds for key, seconds in from_outside.items() if seconds > 0}
        self._least = MIN_SHARE * sum(self._roots.values())

    def stacks(self) -> dict[Stack, float]:
        """Return the stacks with the time that each spent in its innermost function."""
        found: dict[Stack, float] = {}
        pending: list[tuple[tuple[FunctionKey, ...], float]] = [
            ((root,), seconds) for root, seconds in self._roots.items() if seconds > self._least
        ]
        while pending:
            path, seconds = pending.pop()
            share = seconds / self._total[path[-1]] if self._total[path[-1]] else 0.0
            branches = [
                ((*path, callee), min(share * spent, seconds))
                for callee, spent in self._callees[path[-1]].items()
                if callee not in path and share * spent > self._least and len(path) < TREE_DEPTH
            ]
            pending += branches
            own = seconds - sum(spent for _, spent in branches)
            if own > 0:
                found[tuple(_place(key) for key in path)] = own
        return found
