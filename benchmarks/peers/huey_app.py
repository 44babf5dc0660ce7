"""The tasks for Huey."""

import os

from huey import RedisHuey

from benchmarks.peers import work

huey = RedisHuey("bench", url=os.environ["REDIS_URL"], results=False)

noop = huey.task(name="noop")(work.noop)
cpu = huey.task(name="cpu")(work.cpu)
wait = huey.task(name="wait")(work.wait)


def fill(kind: str, count: int) -> None:
    """Enqueue `count` tasks."""
    task = {"noop": noop, "cpu": cpu, "wait": wait}[kind]
    for _ in range(count):
        task()
