"""Samples of a whole process: what its threads do, whichever tasks they run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from types import CodeType
from typing import Any

from agent_service.telemetry.profiles.measured import Measured, StackTable, Unit
from agent_service.telemetry.profiles.own_code import OwnCode
from agent_service.telemetry.profiles.sampling import CodeStack, Sampler, frames_of

NOTE = "the main thread runs sync agents; an async agent is seen while it computes, not while it waits"


class ThreadSamples:
    """Samples the main thread, and every other one while it runs code that is not the service's own."""

    def __init__(self, own: OwnCode) -> None:
        self._own = own
        self._sampler = Sampler(self._look)

    def begin(self) -> None:
        """Begin."""
        self._sampler.start()

    def watch(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Do nothing: a process is no coroutine."""

    def end(self) -> Callable[[], Measured]:
        """End."""
        stacks = self._sampler.stop()
        table = StackTable(Unit.SECONDS, self._own)
        for stack, seconds in stacks.items():
            table.add(stack, seconds)
        return lambda: table.measured(NOTE)

    def step_begins(self) -> None:
        """Do nothing: a process has no steps."""

    def step_ends(self) -> None:
        """Do nothing."""

    def _look(self) -> Iterable[CodeStack]:
        main = threading.main_thread().ident
        for ident, frame in sys._current_frames().items():  # noqa: SLF001 - documented
            if ident == threading.get_ident():
                continue
            stack = frames_of(frame) or ()
            if ident == main or any(self._is_own(code) for code, _ in stack):
                yield stack

    def _is_own(self, code: CodeType) -> bool:
        return code.co_filename in self._own
