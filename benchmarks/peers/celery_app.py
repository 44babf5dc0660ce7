"""The tasks for Celery: acknowledged late, no results, as for tasks that must not be lost."""

import os
from collections.abc import Iterator
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from benchmarks.peers import tracing, work

app = Celery("bench", broker=os.environ["REDIS_URL"])
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=4)
tasks = {kind: app.task(function, name=kind) for kind, function in work.TASKS.items()}


def instrument(**_: Any) -> None:
    """Switch its OpenTelemetry integration on."""
    from opentelemetry.instrumentation.celery import CeleryInstrumentor

    tracing.provide()
    CeleryInstrumentor().instrument()


if tracing.IS_WANTED:
    worker_process_init.connect(instrument, weak=False)


def fill(kind: str, moments: Iterator[float]) -> None:
    """Submit a task at each moment."""
    with app.producer_or_acquire() as producer:
        for sent in moments:
            tasks[kind].apply_async((sent,), producer=producer)
