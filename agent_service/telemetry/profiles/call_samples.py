"""Samples of an agent's call: the lines on which it computes, and those on which it waits.

During a step of an async agent, and all the time of a sync one, the sampler looks at the thread; between two steps it
looks at the coroutine, which knows where it waits. pyinstrument notes a stack only where a function is called or
returns, so a loop without calls shows as the line after it, and the waits of coroutines that are metered step by step,
as they are here, as time of the event loop.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from types import CodeType
from typing import Any

from agent_service.telemetry.profiles.measured import Measured, StackTable, Unit
from agent_service.telemetry.profiles.own_code import PLUMBING, OwnCode
from agent_service.telemetry.profiles.sampling import CodeStack, Sampler, frames_of, waiting_frames
from agent_service.telemetry.profiles.steps import ENTRANCES


class CallSamples:
    """Samples one call, among all that share its thread where it is async."""

    def __init__(self, own: OwnCode, *, by_steps: bool) -> None:
        self._own = own
        self._thread = 0
        self._on_thread = not by_steps
        self._coroutine: Coroutine[Any, Any, Any] | None = None
        self._sampler = Sampler(self._look)

    def begin(self) -> None:
        """Begin, on the thread that is looked at."""
        self._thread = threading.get_ident()
        self._sampler.start()

    def watch(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Look at this coroutine between its steps."""
        self._coroutine = coroutine

    def end(self) -> Callable[[], Measured]:
        """End."""
        stacks = self._sampler.stop()
        table = StackTable(Unit.SECONDS, self._own)
        for stack, seconds in stacks.items():
            table.add(stack, seconds)
        return table.measured

    def step_begins(self) -> None:
        """Look at the thread."""
        self._on_thread = True

    def step_ends(self) -> None:
        """Look at the coroutine."""
        self._on_thread = False

    def _look(self) -> Iterable[CodeStack]:
        if self._on_thread:
            frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - documented for debuggers such as this
            stack = frames_of(frame, _is_entrance, hidden=_is_hidden)
        else:
            stack = waiting_frames(self._coroutine)
        return (stack,) if stack else ()


def _is_entrance(code: CodeType) -> bool:
    return code in ENTRANCES


def _is_hidden(code: CodeType) -> bool:
    return code.co_filename.startswith(PLUMBING)
