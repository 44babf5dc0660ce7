"""The tasks for Celery: acknowledged late, no results, as for tasks that must not be lost."""

import os

from celery import Celery

from benchmarks.peers import work

app = Celery("bench", broker=os.environ["REDIS_URL"])
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=4)

noop = app.task(work.noop, name="noop")
cpu = app.task(work.cpu, name="cpu")
wait = app.task(work.wait, name="wait")


def fill(kind: str, count: int) -> None:
    """Enqueue `count` tasks."""
    task = {"noop": noop, "cpu": cpu, "wait": wait}[kind]
    with app.producer_or_acquire() as producer:
        for _ in range(count):
            task.apply_async(producer=producer)
