"""Delayed tasks start on time, also when the worker that looks after them is gone."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from redis import Redis

from tests.integration.system import System, wait_until

LOCK = "rq:scheduler-lock:default"
STANDSTILL_SECONDS = 20.0
"""The lease, the next try, and a slow machine; RQ's own lease would be 61."""


def holder(redis: Redis) -> str | None:
    raw = redis.get(LOCK)
    return raw.decode() if raw else None


def test_another_worker_takes_over_when_the_one_that_schedules_is_killed(make_system, redis_client):
    system: System = make_system()
    system.start_api()
    first = system.start_worker()
    scheduler = wait_until(lambda: holder(redis_client), "the first worker schedules")
    system.start_worker()
    task = system.submit("fault-sleep", {"delay_seconds": 2}, seconds=0)

    first.kill()
    first.wait(10)
    killed_at = time.monotonic()

    wait_until(lambda: holder(redis_client) not in {None, scheduler}, "the second schedules", STANDSTILL_SECONDS)
    system.wait_for(task, "finished", seconds=STANDSTILL_SECONDS)
    assert time.monotonic() - killed_at < STANDSTILL_SECONDS


def test_a_worker_that_leaves_hands_over_at_once(make_system, redis_client):
    system: System = make_system()
    system.start_api()
    first = system.start_worker()
    wait_until(lambda: holder(redis_client), "the first worker schedules")
    assert system.stop(first) == 0
    assert holder(redis_client) is None


@pytest.fixture
def stock_scheduler(make_system, redis_client, valkey_url):
    """The processes of a stock worker that holds the lock of the default queue; it works on another."""
    system: System = make_system()
    system.start_api()
    command = [sys.executable, "-m", "rq.cli", "worker", "--with-scheduler", "--quiet", "--url", valkey_url, "default"]
    process = subprocess.Popen(command, env=system.environment, cwd=system.folder)
    wait_until(lambda: redis_client.exists(f"rq:scheduler:{holder(redis_client)}"), "the stock worker schedules")
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    yield system, family
    for member in family:
        if member.is_running():
            member.kill()
    process.wait(10)


def test_a_stock_scheduler_that_lives_keeps_its_lock(stock_scheduler, redis_client):
    system, _ = stock_scheduler
    scheduler = holder(redis_client)
    worker = system.start_worker()
    beats = redis_client.hget(f"rq:scheduler:{scheduler}", "last_heartbeat")
    wait_until(lambda: redis_client.hget(f"rq:scheduler:{scheduler}", "last_heartbeat") != beats, "it beats")
    assert system.stop(worker) == 0
    assert holder(redis_client) == scheduler


def test_the_lock_of_a_stock_scheduler_that_was_killed_is_taken_over(stock_scheduler, redis_client):
    system, family = stock_scheduler
    scheduler = holder(redis_client)
    for member in family:
        os.kill(member.pid, signal.SIGKILL)
    # Instead of waiting: what is left of its record's life is what it would be a quarter of a minute later.
    redis_client.expire(f"rq:scheduler:{scheduler}", 44)
    system.start_worker()
    wait_until(lambda: holder(redis_client) not in {None, scheduler}, "ours schedules", STANDSTILL_SECONDS)
    task = system.submit("fault-sleep", {"delay_seconds": 1}, seconds=0)
    system.wait_for(task, "finished", seconds=STANDSTILL_SECONDS)
