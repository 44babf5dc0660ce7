"""The tasks for stock RQ."""

import os
from collections.abc import Iterator

from redis import Redis
from rq import Queue

from benchmarks.peers import work


def fill(kind: str, moments: Iterator[float]) -> None:
    """Submit a task at each moment."""
    queue = Queue("default", connection=Redis.from_url(os.environ["REDIS_URL"]))
    for sent in moments:
        queue.enqueue(work.TASKS[kind], sent)
