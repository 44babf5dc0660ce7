"""The tasks for Huey."""

import os
from collections.abc import Iterator

from huey import RedisHuey

from benchmarks.peers import work

huey = RedisHuey("bench", url=os.environ["REDIS_URL"], results=False)
tasks = {kind: huey.task(name=kind)(function) for kind, function in work.TASKS.items()}


def fill(kind: str, moments: Iterator[float]) -> None:
    """Submit a task at each moment."""
    for sent in moments:
        tasks[kind](sent)
