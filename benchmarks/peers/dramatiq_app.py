"""The tasks for Dramatiq."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import work

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))

noop = dramatiq.actor(work.noop, actor_name="noop")
cpu = dramatiq.actor(work.cpu, actor_name="cpu")
wait = dramatiq.actor(work.wait, actor_name="wait")


def fill(kind: str, count: int) -> None:
    """Enqueue `count` tasks."""
    actor = {"noop": noop, "cpu": cpu, "wait": wait}[kind]
    for _ in range(count):
        actor.send()
