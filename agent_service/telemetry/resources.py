"""What an agent's code uses: processor time, storage traffic, and the peak of the process's memory while it ran."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import psutil

# Each may be missing by itself: the kernel, a sandbox or a process that is not dumpable can withhold it.
_HAS_THREAD_IO = os.access("/proc/thread-self/io", os.R_OK)
_HAS_PEAK = os.access("/proc/self/clear_refs", os.W_OK)
_STATM = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC) if _HAS_PEAK else -1
_CLEAR_REFS = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC) if _HAS_PEAK else -1
PAGE_BYTES = resource.getpagesize()
PEAK_SLACK_BYTES = 1024 * 1024
"""By so much an agent's peak may be told too high."""


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """What was used.

    Attributes:
        cpu_seconds: Processor time.
        read_bytes: Fetched from storage; what the page cache held is not counted.
        write_bytes: Sent to storage.
        peak_memory_bytes: Highest resident memory of the process in that time, all of its tasks together.
    """

    cpu_seconds: float
    read_bytes: int
    write_bytes: int
    peak_memory_bytes: int


class _Peaks:
    """The high-water mark of the process's memory, for several overlapping stretches of time.

    The kernel keeps one mark and can be told to start it anew; before that, what it says is noted for every stretch
    that is open. It is told so only where the mark stands well above what is resident now, which is seldom.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, int] = {}

    def open(self, stretch: int) -> None:
        with self._lock:
            mark = _high_water_mark()
            if mark - _resident() > PEAK_SLACK_BYTES:
                for other, peak in self._open.items():
                    self._open[other] = max(peak, mark)
                _reset_high_water_mark()
            self._open[stretch] = 0

    def close(self, stretch: int) -> int:
        with self._lock:
            return max(self._open.pop(stretch, 0), _high_water_mark())


_peaks = _Peaks()


class ResourceMeter:
    """Measures one stretch of work.

    A sync agent runs on one thread from `start` to `stop`. An async one shares its thread with others, so only the
    steps of its coroutines are counted: see `MeteredCoroutine`.
    """

    def __init__(self, by_steps: bool = False) -> None:
        """Make a meter.

        Args:
            by_steps: Count only what happens inside `step_begins` and `step_ends`.
        """
        self._by_steps = by_steps
        self._cpu = 0.0
        self._read = self._written = 0
        self._began: tuple[float, int, int] | None = None

    def start(self) -> None:
        """Begin; call it on the thread that does the work."""
        _peaks.open(id(self))
        if not self._by_steps:
            self.step_begins()

    def stop(self) -> ResourceUse:
        """End, on the same thread where not `by_steps`, and return what was used."""
        if not self._by_steps:
            self.step_ends()
        return ResourceUse(self._cpu, self._read, self._written, _peaks.close(id(self)))

    def metered(self, coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        """Return a coroutine whose steps count for this meter."""
        return MeteredCoroutine(coroutine, self)

    def step_begins(self) -> None:
        """Count from here, on this thread."""
        self._began = (time.thread_time(), *_thread_io())

    def step_ends(self) -> None:
        """Count up to here."""
        if self._began is None:
            return
        cpu, read, written = self._began
        self._began = None
        read_now, written_now = _thread_io()
        self._cpu += time.thread_time() - cpu
        self._read += max(0, read_now - read)
        self._written += max(0, written_now - written)


class NoMeter(ResourceMeter):
    """Measures nothing, where no telemetry is wanted."""

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> ResourceUse:
        """Return that nothing was used."""
        return _NOTHING

    def metered(self, coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        """Return the coroutine as it is."""
        return coroutine


_NOTHING = ResourceUse(0.0, 0, 0, 0)

current_meter: ContextVar[ResourceMeter | None] = ContextVar("current_meter", default=None)


class MeteredCoroutine(Coroutine[Any, Any, Any]):
    """A coroutine whose every step is counted by a meter."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], meter: ResourceMeter) -> None:
        self._coroutine = coroutine
        self._meter = meter

    def send(self, value: Any) -> Any:
        """Run one step."""
        self._meter.step_begins()
        try:
            return self._coroutine.send(value)
        finally:
            self._meter.step_ends()

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        """Run one step that begins with an exception."""
        del val, tb
        self._meter.step_begins()
        try:
            return self._coroutine.throw(typ)
        finally:
            self._meter.step_ends()

    def close(self) -> None:
        """Close the coroutine."""
        self._coroutine.close()

    def __getattr__(self, name: str) -> Any:
        """Show the coroutine's own `cr_` attributes, from which `inspect`, and anyio with it, tell a task's state."""
        if name.startswith("cr_"):
            return getattr(self._coroutine, name)
        raise AttributeError(name)

    def __await__(self) -> Generator[Any, Any, Any]:
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                yielded = self.throw(error) if error is not None else self.send(value)
            except StopIteration as stop:
                return stop.value
            error = None
            try:
                value = yield yielded
            except GeneratorExit:
                self.close()
                raise
            except BaseException as thrown:  # noqa: BLE001 - it belongs to the coroutine inside
                error = thrown


def meter_task_factory(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any] | Generator[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    """Make a task whose steps count for the meter of the task that made it, for `loop.set_task_factory`."""
    meter = current_meter.get()
    if meter is not None and isinstance(coroutine, Coroutine) and not isinstance(coroutine, MeteredCoroutine):
        coroutine = meter.metered(coroutine)
    return asyncio.Task(coroutine, loop=loop, **options)


class ProcessTree:
    """The processes of a worker, as the kernel sees them."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self._known: dict[int, psutil.Process] = {}

    def cpu_ratio(self) -> float:
        """Return the processor time since the last call over the time that passed; 1 is one core."""
        return sum(_or_zero(process.cpu_percent) for process in self._processes()) / 100

    def memory_bytes(self) -> float:
        """Return the resident memory of all of them."""
        return sum(_or_zero(partial(_resident_bytes, process)) for process in self._processes())

    def _processes(self) -> list[psutil.Process]:
        pids = list(self._pids())
        for pid in pids:
            if pid not in self._known:
                try:
                    self._known[pid] = psutil.Process(pid)
                except psutil.NoSuchProcess:
                    continue
        self._known = {pid: process for pid, process in self._known.items() if pid in pids}
        return list(self._known.values())


def _resident_bytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss)


def _or_zero(read: Callable[[], float]) -> float:
    """Return what `read` reads, or 0 for a process that is gone."""
    try:
        return read()
    except psutil.Error:
        return 0.0


class _ThreadFile:
    """The open `/proc/thread-self/io` of one thread; it is closed when the thread's locals go."""

    def __init__(self) -> None:
        self.descriptor = os.open("/proc/thread-self/io", os.O_RDONLY | os.O_CLOEXEC)
        # Not at the interpreter's end, when another thread may still read it.
        weakref.finalize(self, os.close, self.descriptor).atexit = False


_thread_files = threading.local()


def _thread_io() -> tuple[int, int]:
    """Return the bytes that this thread has read from and written to storage.

    Source: proc(5), /proc/pid/io, read_bytes and write_bytes.
    """
    if not _HAS_THREAD_IO:
        return 0, 0
    file: _ThreadFile | None = getattr(_thread_files, "file", None)
    if file is None:
        file = _thread_files.file = _ThreadFile()
    fields = os.pread(file.descriptor, 256, 0).split()
    return int(fields[9]), int(fields[11])


def _high_water_mark() -> int:
    """Return the highest resident memory of the process since the mark was last started anew, in bytes.

    Source: getrusage(2), ru_maxrss; it costs a tenth of reading VmHWM from /proc/self/status.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _resident() -> int:
    """Return the resident memory of the process in bytes; source: proc(5), /proc/pid/statm, the second field."""
    return int(os.pread(_STATM, 256, 0).split()[1]) * PAGE_BYTES if _HAS_PEAK else _high_water_mark()


def _reset_high_water_mark() -> None:
    """Start the mark anew; source: proc(5), /proc/pid/clear_refs, value 5."""
    if _HAS_PEAK:
        os.write(_CLEAR_REFS, b"5")
