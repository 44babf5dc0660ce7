"""The tasks for Dramatiq."""

import os
from collections.abc import Iterator

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import tracing, work

broker = RedisBroker(url=os.environ["REDIS_URL"])
if tracing.IS_WANTED:
    from dramatiq.middleware.prometheus import Prometheus

    broker.add_middleware(Prometheus())
dramatiq.set_broker(broker)
actors = {kind: dramatiq.actor(function, actor_name=kind) for kind, function in work.TASKS.items()}


def fill(kind: str, moments: Iterator[float]) -> None:
    """Submit a task at each moment."""
    for sent in moments:
        actors[kind].send(sent)
