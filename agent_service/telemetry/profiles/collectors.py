"""The choice of a profiler, and what keeps two of them from spoiling each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from agent_service.telemetry.profiles.measured import Measured, ProfileKind
from agent_service.telemetry.profiles.own_code import OwnCode


class ProfilerBusyError(Exception):
    """Another profile is being taken in this process; the message says so."""

    def __init__(self, message: str = "another profile is being taken in this process") -> None:
        super().__init__(message)


class Collector(Protocol):
    """A profiler of one stretch of work.

    An async agent shares its thread with others: what the profiler may look at then lies between `step_begins` and
    `step_ends`, which are called around each step of the agent's coroutines.
    """

    def begin(self) -> None:
        """Begin, on the thread that does the work.

        Raises:
            ProfilerBusyError: Somebody else's profiler is in its way.
        """

    def watch(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Be told, after the beginning, what an async agent's function gave."""

    def end(self) -> Callable[[], Measured]:
        """End, on the same thread; the function that is returned does the rest of the work, on any thread."""

    def step_begins(self) -> None:
        """Look from here."""

    def step_ends(self) -> None:
        """Look away."""


class _Door:
    """Lets in either one profiler that needs the process for itself, or any number of those that do not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alone = False
        self._others = 0

    def enter(self, *, alone: bool) -> None:
        """Go in.

        Raises:
            ProfilerBusyError: That is not possible now.
        """
        with self._lock:
            if self._alone or (alone and self._others):
                raise ProfilerBusyError
            self._alone = alone
            self._others += not alone

    def leave(self, *, alone: bool) -> None:
        """Go out."""
        with self._lock:
            if alone:
                self._alone = False
            else:
                self._others -= 1


_door = _Door()


class GuardedCollector:
    """A collector behind the door of the process: reserve, begin, end; or reserve, release."""

    def __init__(self, collector: Collector, *, alone: bool) -> None:
        self._collector = collector
        self._alone = alone
        self._is_on = False
        self.watch = collector.watch

    def reserve(self) -> None:
        """Make sure that nothing is in the way.

        Raises:
            ProfilerBusyError: Another profile is being taken in this process.
        """
        _door.enter(alone=self._alone)

    def release(self) -> None:
        """Do without, after all."""
        _door.leave(alone=self._alone)

    def begin(self) -> None:
        """Begin, or release what was reserved.

        Raises:
            ProfilerBusyError: Somebody else's profiler is in its way.
        """
        try:
            self._collector.begin()
        except BaseException:
            self.release()
            raise
        self._is_on = True

    def end(self) -> Callable[[], Measured]:
        """End, and release what was reserved."""
        self._is_on = False
        try:
            return self._collector.end()
        finally:
            self.release()

    def step_begins(self) -> None:
        """Look from here; nothing once it has ended, though coroutines that the agent left behind go on."""
        if self._is_on:
            self._collector.step_begins()

    def step_ends(self) -> None:
        """Look away."""
        if self._is_on:
            self._collector.step_ends()


def collector_for_call(kind: ProfileKind, function: Callable[..., Any], *, by_steps: bool) -> GuardedCollector:
    """Return a profiler of calls of one function.

    Args:
        kind: How it measures.
        function: The function, whose module and package are what the reader knows.
        by_steps: Whether it is a coroutine function, whose thread is not its own.
    """
    return GuardedCollector(_make(kind, OwnCode(function), by_steps), alone=kind is not ProfileKind.SAMPLE)


def collector_for_process(kind: ProfileKind) -> GuardedCollector:
    """Return a profiler of everything that this process does.

    Raises:
        ValueError: That kind looks at single calls only.
    """
    own = OwnCode()
    if kind is ProfileKind.SAMPLE:
        from agent_service.telemetry.profiles.thread_samples import ThreadSamples

        return GuardedCollector(ThreadSamples(own), alone=False)
    if kind is ProfileKind.MEMORY:
        from agent_service.telemetry.profiles.memory import MemoryProfile

        return GuardedCollector(MemoryProfile(own, whole_process=True), alone=True)
    raise ValueError(f"a worker is profiled by sample or memory, not by {kind}, which looks at the calls of an agent")


def _make(kind: ProfileKind, own: OwnCode, by_steps: bool) -> Collector:
    """Import what the kind needs, which nobody else pays for."""
    match kind:
        case ProfileKind.CPROFILE:
            from agent_service.telemetry.profiles.calls import CallProfile

            return CallProfile(own, by_steps=by_steps)
        case ProfileKind.LINE:
            from agent_service.telemetry.profiles.lines import LineProfile

            return LineProfile(own, by_steps=by_steps)
        case ProfileKind.MEMORY:
            from agent_service.telemetry.profiles.memory import MemoryProfile

            return MemoryProfile(own)
        case ProfileKind.SAMPLE:
            from agent_service.telemetry.profiles.call_samples import CallSamples

            return CallSamples(own, by_steps=by_steps)
