"""A thread that looks at others: every few milliseconds it asks what they are doing, and counts the time since."""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any

from agent_service.telemetry.profiles.measured import Place, Stack

INTERVAL_SECONDS = 0.001
DEPTH = 200

CodeStack = tuple[tuple[CodeType, int], ...]
"""Code and line of each frame, from the innermost out: cheap to note while everything else waits."""


class _Pace:
    """How soon a thread that computes lets others run: `sys.setswitchinterval`, as it was when nobody samples."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samplers = 0
        self._usual = 0.0

    def quicken(self, seconds: float) -> None:
        """Make it at most `seconds`."""
        with self._lock:
            self._samplers += 1
            if self._samplers == 1:
                self._usual = sys.getswitchinterval()
                sys.setswitchinterval(min(seconds, self._usual))

    def slacken(self) -> None:
        """Undo that, with the last sampler."""
        with self._lock:
            self._samplers -= 1
            if not self._samplers:
                sys.setswitchinterval(self._usual)


_pace = _Pace()


class Sampler:
    """Looks again and again until it is stopped.

    It sees no more often than the interpreter lets it run, so threads of the process change places more often than
    usual while one of these runs. The time of a sample is what really passed.
    """

    def __init__(self, look: Callable[[], Iterable[CodeStack]], interval: float = INTERVAL_SECONDS) -> None:
        """Prepare; `start` begins.

        Args:
            look: Returns what is seen now, a stack for each of those that are looked at.
            interval: Seconds between two looks.
        """
        self._look = look
        self._interval = interval
        self._seen: defaultdict[CodeStack, float] = defaultdict(float)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin."""
        _pace.quicken(self._interval)
        self._thread.start()

    def stop(self) -> dict[Stack, float]:
        """End, and return the stacks with the seconds for which each was seen."""
        self._over.set()
        self._thread.join()
        _pace.slacken()
        stacks: defaultdict[Stack, float] = defaultdict(float)
        for frames, seconds in self._seen.items():
            stacks[tuple(place_of(code, line) for code, line in reversed(frames))] += seconds
        return stacks

    def _run(self) -> None:
        before = time.perf_counter()
        while True:
            over = self._over.wait(self._interval)
            now = time.perf_counter()
            for stack in self._look():
                self._seen[stack] += now - before
            before = now
            if over:
                return


def frames_of(
    frame: FrameType | None,
    until: Callable[[CodeType], bool] | None = None,
    hidden: Callable[[CodeType], bool] = lambda _: False,
) -> CodeStack | None:
    """Return a stack from its innermost frame out.

    Args:
        frame: The innermost frame.
        until: Where the stack ends; the frame of that code is left out. None takes the whole.
        hidden: Code whose frames are left out.

    Returns:
        The stack, or None where its end was not found.
    """
    stack: list[tuple[CodeType, int]] = []
    while frame is not None and len(stack) < DEPTH:
        if until is not None and until(frame.f_code):
            return tuple(stack)
        if not hidden(frame.f_code):
            stack.append((frame.f_code, frame.f_lineno or 0))
        frame = frame.f_back
    return tuple(stack) if until is None else None


def waiting_frames(awaitable: Any) -> CodeStack:
    """Return where a coroutine that is suspended waits, from the innermost frame out."""
    stack: list[tuple[CodeType, int]] = []
    while awaitable is not None and len(stack) < DEPTH:
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        if frame is not None:
            stack.append((frame.f_code, frame.f_lineno or 0))
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)
    return tuple(reversed(stack))


def place_of(code: CodeType, line: int) -> Place:
    """Return a line of a piece of code as a place."""
    return Place(code.co_qualname, code.co_filename, line)
