"""The tasks for taskiq, over Redis streams, whose messages are acknowledged."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from taskiq_redis import RedisStreamBroker

from benchmarks.peers import tracing, work

broker = RedisStreamBroker(os.environ["REDIS_URL"])
if tracing.IS_WANTED:
    from taskiq.middlewares.opentelemetry_middleware import OpenTelemetryMiddleware
    from taskiq.middlewares.prometheus_middleware import PrometheusMiddleware

    tracing.provide()
    metrics = Path(os.environ["BENCH_DONE"]).with_name("taskiq-metrics")
    broker.add_middlewares(OpenTelemetryMiddleware(), PrometheusMiddleware(metrics, server_addr="127.0.0.1"))

functions = {**work.TASKS, "wait": work.wait_async}
tasks = {kind: broker.task(task_name=kind)(function) for kind, function in functions.items()}


def fill(kind: str, moments: Iterator[float]) -> None:
    """Submit a task at each moment."""

    async def run() -> None:
        await broker.startup()
        for sent in moments:
            await tasks[kind].kiq(sent)
        await broker.shutdown()

    asyncio.run(run())
