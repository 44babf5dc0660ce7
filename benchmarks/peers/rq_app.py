"""The tasks for stock RQ."""

import os

from redis import Redis
from rq import Queue

from benchmarks.peers import work


def fill(kind: str, count: int) -> None:
    """Enqueue `count` tasks in one pipeline."""
    queue = Queue("default", connection=Redis.from_url(os.environ["REDIS_URL"]))
    function = {"noop": work.noop, "cpu": work.cpu, "wait": work.wait}[kind]
    queue.enqueue_many([Queue.prepare_data(function) for _ in range(count)])
