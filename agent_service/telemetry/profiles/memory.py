"""Who held the memory when the process held the most, by memray.

tracemalloc is in the standard library, but tells only what is still held at a moment that somebody must choose, knows
nothing of memory that C extensions take, and makes allocation some ten times slower than memray does.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from memray import FileDestination, FileFormat, FileReader, Tracker

from agent_service.telemetry.profiles import steps
from agent_service.telemetry.profiles.collectors import ProfilerBusyError
from agent_service.telemetry.profiles.measured import Measured, Place, StackTable, Unit
from agent_service.telemetry.profiles.own_code import PLUMBING, OwnCode

NOTE = "what the agent held at the process's peak while it ran; threads of its own are not counted"


class MemoryProfile:
    """Follows every allocation of the process, those of small objects too, and keeps the sums in memory."""

    def __init__(self, own: OwnCode, *, whole_process: bool = False) -> None:
        """Prepare; `begin` begins.

        Args:
            own: Which code is the reader's.
            whole_process: Whether everything counts, not only what is allocated inside the agent's call.
        """
        self._own = own
        self._whole_process = whole_process
        self._file: Path | None = None
        self._tracker: Tracker | None = None

    def begin(self) -> None:
        """Begin.

        Raises:
            ProfilerBusyError: Somebody else's memray follows this process, or there is no room for its file.
        """
        try:
            descriptor, name = tempfile.mkstemp(prefix="profile-", suffix=".bin")
            os.close(descriptor)
            self._file = Path(name)
            self._tracker = Tracker(
                destination=FileDestination(name, overwrite=True, compress_on_exit=False),
                trace_python_allocators=True,
                file_format=FileFormat.AGGREGATED_ALLOCATIONS,
            )
            self._enter(self._tracker)
        except (OSError, RuntimeError) as error:
            self._remove()
            raise ProfilerBusyError(f"memory cannot be followed: {error}") from error

    def watch(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Do nothing: its steps are enough."""

    def end(self) -> Callable[[], Measured]:
        """End."""
        if self._tracker is not None:
            self._tracker.__exit__(None, None, None)
        return self._measured

    def step_begins(self) -> None:
        """Do nothing: which allocation is the agent's is told by its stack."""

    def step_ends(self) -> None:
        """Do nothing."""

    def _measured(self) -> Measured:
        table = StackTable(Unit.BYTES, self._own)
        try:
            with FileReader(self._file or "") as reader:
                for record in reader.get_high_watermark_allocation_records(merge_threads=True):
                    frames = [Place(*element) for element in reversed(record.stack_trace())]
                    table.add(self._relevant(frames), record.size, record.n_allocations)
        finally:
            self._remove()
        return table.measured(None if self._whole_process else NOTE)

    def _relevant(self, stack: Sequence[Place]) -> tuple[Place, ...]:
        """Return the stack, or what of it is inside the agent's call: nothing where the agent is not in it."""
        if self._whole_process:
            return tuple(stack)
        ends = [number for number, place in enumerate(stack, start=1) if _is_entrance(place)]
        inner = stack[ends[-1] :] if ends else ()
        return tuple(place for place in inner if not place.file.startswith(PLUMBING))

    def _enter(self, tracker: Tracker) -> None:
        """Let it begin on a thread of its own: from the one it begins on it hides as many frames as there were then."""
        failures: list[BaseException] = []

        def enter() -> None:
            try:
                tracker.__enter__()
            except BaseException as error:  # noqa: BLE001 - raised again below, where it belongs
                failures.append(error)

        thread = threading.Thread(target=enter, name="memory-profile")
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    def _remove(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()


_STEPS = steps.__file__
_ENTRANCES = frozenset(code.co_name for code in steps.ENTRANCES)


def _is_entrance(place: Place) -> bool:
    """Whether what it calls is the profiled agent: nothing else is profiled at the same time."""
    return place.file == _STEPS and place.function in _ENTRANCES
