"""What every queue runs: nothing, 5 ms of computing, or 20 ms of waiting; each marks its end in one file.

A byte appended to a file costs every queue the same few microseconds, and needs no result backend of any of them.
"""

from __future__ import annotations

import asyncio
import os
import time

CPU_SECONDS = 0.005
WAIT_SECONDS = 0.02

_descriptors: dict[int, int] = {}


def mark() -> None:
    """Append one byte to the file that BENCH_DONE names; opened once a process."""
    pid = os.getpid()
    if pid not in _descriptors:
        _descriptors[pid] = os.open(os.environ["BENCH_DONE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(_descriptors[pid], b".")


def noop() -> None:
    """Do nothing."""
    mark()


def cpu() -> None:
    """Compute for 5 ms of processor time."""
    end = time.thread_time() + CPU_SECONDS
    while time.thread_time() < end:
        pass
    mark()


def wait() -> None:
    """Wait for 20 ms, as for somebody's answer."""
    time.sleep(WAIT_SECONDS)
    mark()


async def wait_async() -> None:
    """Wait for 20 ms in an event loop."""
    await asyncio.sleep(WAIT_SECONDS)
    mark()
