"""The tasks for taskiq, over Redis streams, whose messages are acknowledged."""

import asyncio
import os

from taskiq_redis import RedisStreamBroker

from benchmarks.peers import work

broker = RedisStreamBroker(os.environ["REDIS_URL"])

noop = broker.task(task_name="noop")(work.noop)
cpu = broker.task(task_name="cpu")(work.cpu)
wait = broker.task(task_name="wait")(work.wait_async)


def fill(kind: str, count: int) -> None:
    """Enqueue `count` tasks."""

    async def run() -> None:
        await broker.startup()
        for _ in range(count):
            await {"noop": noop, "cpu": cpu, "wait": wait}[kind].kiq()
        await broker.shutdown()

    asyncio.run(run())
