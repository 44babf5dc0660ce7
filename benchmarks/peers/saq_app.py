"""The tasks for SAQ."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

from saq import Queue

from benchmarks.peers import work

queue = Queue.from_url(os.environ["REDIS_URL"])


async def noop(_: dict[str, Any], *, sent: float) -> None:
    """Do nothing."""
    work.noop(sent)


async def cpu(_: dict[str, Any], *, sent: float) -> None:
    """Compute for 5 ms."""
    work.cpu(sent)


async def wait(_: dict[str, Any], *, sent: float) -> None:
    """Wait for 20 ms."""
    await work.wait_async(sent)


async def document(_: dict[str, Any], *, sent: float) -> None:
    """Rank the sentences of a document."""
    work.document(sent)


settings = {"queue": queue, "functions": [noop, cpu, wait, document], "concurrency": 64}


def fill(kind: str, moments: Iterator[float]) -> None:
    """Submit a task at each moment."""

    async def run() -> None:
        await queue.connect()
        for sent in moments:
            await queue.enqueue(kind, ttl=600, sent=sent)
        await queue.disconnect()

    asyncio.run(run())
