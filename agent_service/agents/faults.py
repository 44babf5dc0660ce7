"""Agents that misbehave on purpose, to see how the service takes it. Loaded only where a setting allows them.

Every parameter is bounded, so that each of them ends by itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import tempfile
import time
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from agent_service.agents.context import Context
from agent_service.agents.definition import RetryPolicy, agent

_OWNER = "faults"
_MEBIBYTE = 1024 * 1024
_PAGE_BYTES = 4096
_RESERVED_LOG_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

Seconds = Annotated[float, Field(ge=0, le=600, description="How long, in seconds.")]


class FaultInput(BaseModel):
    """Base of the inputs: a misspelled field is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Duration(FaultInput):
    """How long a fault lasts."""

    seconds: Seconds = 1.0


class Failure(FaultInput):
    """What a failure says."""

    message: str = Field(default="asked to fail", max_length=1_000, description="Message of the error.")


class FailureCount(FaultInput):
    """How often an agent fails before it succeeds."""

    times: int = Field(default=1, ge=0, le=20, description="Runs that fail; from the next one on it succeeds.")


class Memory(FaultInput):
    """How much memory is held, and for how long."""

    megabytes: int = Field(default=64, ge=1, le=2_048, description="Memory to hold, in MiB.")
    seconds: Seconds = 1.0


class DiskWrite(FaultInput):
    """How much is written to disk."""

    megabytes: int = Field(default=16, ge=1, le=1_024, description="Bytes to write, in MiB.")


class Crash(FaultInput):
    """How the process ends."""

    signal: Literal["SIGKILL", "SIGSEGV", "SIGABRT", "SIGTERM"] = Field(
        default="SIGKILL", description="The signal that the process sends to itself."
    )
    after_seconds: Seconds = 0.0
    only_first_attempt: bool = Field(default=False, description="Whether later attempts succeed.")


class LogLines(FaultInput):
    """What is logged, and how often."""

    message: str = Field(default="a line for the log", max_length=10_000, description="The message.")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(default="INFO", description="Its level.")
    extra: dict[str, JsonValue] = Field(default_factory=dict, max_length=50, description="Further fields of each line.")
    times: int = Field(default=1, ge=1, le=100_000, description="How often it is logged.")

    @field_validator("extra")
    @classmethod
    def _check_names(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Refuse the names that `logging` keeps for itself."""
        taken = sorted(_RESERVED_LOG_FIELDS.intersection(value))
        if taken:
            raise ValueError(f"logging keeps these names for itself: {', '.join(taken)}")
        return value


class Done(BaseModel):
    """What a fault that was survived says."""

    detail: str = Field(description="What was done.")
    attempt: int = Field(ge=1, description="In which run, from 1.")


@agent("fault-sleep", timeout=660, owner=_OWNER)
async def sleep(request: Duration, context: Context) -> Done:
    """Waits without holding a thread, and reports progress every second."""
    steps = max(1, math.ceil(request.seconds))
    for step in range(1, steps + 1):
        await asyncio.sleep(request.seconds / steps)
        context.progress(step / steps, f"step {step} of {steps}")
    return Done(detail=f"slept {request.seconds:g} s", attempt=context.attempt)


@agent("fault-block", timeout=660, owner=_OWNER)
def block(request: Duration, context: Context) -> Done:
    """Holds its thread without looking at cancellation."""
    time.sleep(request.seconds)
    return Done(detail=f"blocked for {request.seconds:g} s", attempt=context.attempt)


@agent("fault-fail", owner=_OWNER)
def fail(request: Failure) -> Done:
    """Fails every time."""
    raise RuntimeError(request.message)


@agent("fault-fail-times", retries=RetryPolicy(attempts=6, base=timedelta(0), jitter=0), owner=_OWNER)
def fail_times(request: FailureCount, context: Context) -> Done:
    """Fails in its first runs and then succeeds; it is tried again at once, five times."""
    if context.attempt <= request.times:
        raise RuntimeError(f"run {context.attempt} of {request.times} that fail")
    return Done(detail=f"succeeded after {request.times} failures", attempt=context.attempt)


@agent("fault-burn-cpu", timeout=660, owner=_OWNER)
def burn_cpu(request: Duration, context: Context) -> Done:
    """Uses one core for a while of CPU time, and can be canceled."""
    end = time.thread_time() + request.seconds
    while (left := end - time.thread_time()) > 0:
        _spin(min(left, 0.1))
        context.check_canceled()
    return Done(detail=f"used {request.seconds:g} s of CPU", attempt=context.attempt)


def _spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@agent("fault-hold-memory", timeout=660, owner=_OWNER)
def hold_memory(request: Memory, context: Context) -> Done:
    """Holds memory that is really resident."""
    held = bytearray(request.megabytes * _MEBIBYTE)
    # The kernel hands out a zeroed page only when it is written to.
    for at in range(0, len(held), _PAGE_BYTES):
        held[at] = 1
    context.progress(0.5, f"holding {request.megabytes} MiB")
    time.sleep(request.seconds)
    return Done(detail=f"held {len(held) // _MEBIBYTE} MiB", attempt=context.attempt)


@agent("fault-write-disk", timeout=660, owner=_OWNER)
def write_disk(request: DiskWrite, context: Context) -> Done:
    """Writes a temporary file to the disk and removes it."""
    chunk = os.urandom(_MEBIBYTE)
    # A nameless file is gone even if the process is killed while it writes.
    with tempfile.TemporaryFile() as file:
        for written in range(1, request.megabytes + 1):
            file.write(chunk)
            if written % 64 == 0:
                context.progress(written / request.megabytes, f"{written} MiB")
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    return Done(detail=f"wrote {size // _MEBIBYTE} MiB", attempt=context.attempt)


@agent("fault-crash", timeout=660, retries=RetryPolicy(attempts=2, base=timedelta(0), jitter=0), owner=_OWNER)
def crash(request: Crash, context: Context) -> Done:
    """Ends the process it runs in with a signal."""
    if request.only_first_attempt and context.attempt > 1:
        return Done(detail="survived a crash", attempt=context.attempt)
    time.sleep(request.after_seconds)
    os.kill(os.getpid(), signal.Signals[request.signal])
    return Done(detail=f"survived {request.signal}", attempt=context.attempt)


@agent("fault-log", timeout=660, owner=_OWNER)
def log(request: LogLines, context: Context) -> Done:
    """Writes lines to the log."""
    level = logging.getLevelNamesMapping()[request.level]
    for _ in range(request.times):
        context.log.log(level, "%s", request.message, extra=request.extra)
    return Done(detail=f"logged {request.times} lines", attempt=context.attempt)


@agent("fault-busy-loop", timeout=10, owner=_OWNER)
def busy_loop(request: Duration, context: Context) -> Done:
    """Spins, deaf to cancellation and to every exception raised into it; only a hard timeout ends it early."""
    end = time.monotonic() + request.seconds
    swallowed = 0
    while True:
        try:
            while time.monotonic() < end:
                pass
            return Done(detail=f"swallowed {swallowed} exceptions", attempt=context.attempt)
        except BaseException:  # noqa: BLE001  # deafness is what this agent is for
            swallowed += 1
