"""What every queue runs: nothing, 5 ms of computing, 20 ms of waiting, or a document; each marks its end in one file.

A few bytes appended to a file cost every queue the same few microseconds, and need no result backend of any of them.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from functools import cache
from pathlib import Path

CPU_SECONDS = 0.005
WAIT_SECONDS = 0.02
MARK = struct.Struct("<d")
"""Seconds from the submission to the run, where the task was told of the one; else 0."""

_descriptors: dict[int, int] = {}


def mark(sent: float = 0.0) -> None:
    """Append one mark to the file that BENCH_DONE names; it is opened once a process."""
    pid = os.getpid()
    if pid not in _descriptors:
        _descriptors[pid] = os.open(os.environ["BENCH_DONE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(_descriptors[pid], MARK.pack(time.time() - sent if sent else 0.0))


def noop(sent: float = 0.0) -> None:
    """Do nothing."""
    mark(sent)


def cpu(_: float = 0.0) -> None:
    """Compute for 5 ms of processor time."""
    end = time.thread_time() + CPU_SECONDS
    while time.thread_time() < end:
        pass
    mark()


def wait(_: float = 0.0) -> None:
    """Wait for 20 ms, as for somebody's answer."""
    time.sleep(WAIT_SECONDS)
    mark()


async def wait_async(_: float = 0.0) -> None:
    """Wait for 20 ms in an event loop."""
    await asyncio.sleep(WAIT_SECONDS)
    mark()


def document(_: float = 0.0) -> None:
    """Find the sentences of a document that carry its key words, as the summarizer does."""
    from agent_service.agents.documents.ranking import rank_sentences
    from agent_service.agents.documents.summarizer import quotable_sentences

    rank_sentences(quotable_sentences(_text()), ["Valkey", "worker", "trace"], 3)
    mark()


@cache
def _text() -> str:
    return (Path(__file__).parents[2] / "docs" / "architecture.md").read_text("utf-8")


TASKS = {"noop": noop, "cpu": cpu, "wait": wait, "document": document}
