"""The tasks for SAQ."""

import asyncio
import os
from typing import Any

from saq import Queue

from benchmarks.peers import work

queue = Queue.from_url(os.environ["REDIS_URL"])


async def noop(_: dict[str, Any]) -> None:
    """Do nothing."""
    work.noop()


async def cpu(_: dict[str, Any]) -> None:
    """Compute for 5 ms."""
    work.cpu()


async def wait(_: dict[str, Any]) -> None:
    """Wait for 20 ms."""
    await work.wait_async()


settings = {"queue": queue, "functions": [noop, cpu, wait], "concurrency": 64}


def fill(kind: str, count: int) -> None:
    """Enqueue `count` tasks."""

    async def run() -> None:
        await queue.connect()
        for _ in range(count):
            await queue.enqueue(kind, ttl=600)
        await queue.disconnect()

    asyncio.run(run())
