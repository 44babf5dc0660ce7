"""Agents that leave a trace of their own of every run, so that nobody has to take the service's word for it.

A line is written, in one call, when a run begins and when it ends: `start ID ATTEMPT`, `end ID ATTEMPT`.
"""

import asyncio
import os
import time
from datetime import timedelta

from pydantic import BaseModel

from agent_service.agents import Context, RetryPolicy, agent

_file = os.open(os.environ["WITNESS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
AT_ONCE = RetryPolicy(attempts=1, base=timedelta(0), jitter=0)


class Seconds(BaseModel):
    seconds: float


class Seen(BaseModel):
    attempt: int


def _note(what: str, context: Context) -> None:
    os.write(_file, f"{what} {context.task_id} {context.attempt}\n".encode())


@agent("witness-block", timeout=120, retries=AT_ONCE)
def block(given: Seconds, context: Context) -> Seen:
    """Holds its thread for a while."""
    _note("start", context)
    time.sleep(given.seconds)
    _note("end", context)
    return Seen(attempt=context.attempt)


@agent("witness-wait", timeout=120, retries=AT_ONCE)
async def wait(given: Seconds, context: Context) -> Seen:
    """Waits without holding a thread."""
    _note("start", context)
    await asyncio.sleep(given.seconds)
    _note("end", context)
    return Seen(attempt=context.attempt)
