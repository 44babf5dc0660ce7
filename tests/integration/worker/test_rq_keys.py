"""Our worker leaves behind what stock RQ leaves behind, key by key and field by field.

Each case runs twice on the same Valkey: with RQ's own worker and a plain function, and with ours. Names, ids, times and
the payload differ; they are put aside before the two are held against each other.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue, Retry, Worker
from rq.command import send_stop_job_command
from rq.rate_limit import RateLimit

from tests.integration.system import wait_until
from tests.integration.worker.rq_keys import differences, snapshot

ROOT = Path(__file__).parents[3]


def fine():
    return {"ok": True}


def failing():
    raise ValueError("no")


def sleeping():
    time.sleep(40)


def crashing():
    os.kill(os.getpid(), signal.SIGKILL)


def stock(redis: Redis, function, **options) -> dict[str, object]:
    """Run one job as RQ's own users do, and return what it leaves behind."""
    redis.flushall()
    queue = Queue("default", connection=redis)
    options = {"job_timeout": 180, **options}
    queue.enqueue(function, result_ttl=86400, failure_ttl=604800, meta={"a": 1}, **options)
    worker = Worker([queue], connection=redis, name="stock")
    worker.work(burst=True, logging_level="CRITICAL")
    return snapshot(redis, "stock")


def ours(make_system, redis: Redis, agent: str, status: str, options=None, **payload) -> dict[str, object]:
    """Run one task through the API and our worker, and return what it leaves behind."""
    redis.flushall()
    system = make_system(JOURNAL_HOURS="0")
    system.start_api()
    worker = system.start_worker()
    task = system.wait_for(system.submit(agent, {"timeout_seconds": 180, **(options or {})}, **payload), status)
    assert system.stop(worker) == 0
    name = task["worker"]
    wait_until(lambda: not redis.smembers("rq:workers"), "the worker is gone from the books")
    return snapshot(redis, name)


CASES = {
    "success": ((fine, {}), ("fault-sleep", "finished", None, {"seconds": 0})),
    "success of a sync agent": ((fine, {}), ("fault-block", "finished", None, {"seconds": 0})),
    "failure": ((failing, {}), ("fault-fail", "failed", {"retries": 0}, {"message": "no"})),
    "timeout": (
        (sleeping, {"job_timeout": 1}),
        ("fault-block", "failed", {"timeout_seconds": 1, "retries": 0}, {"seconds": 40}),
    ),
    "crash": ((crashing, {}), ("fault-crash", "failed", {"retries": 0}, {})),
    "retries used up": (
        (failing, {"retry": Retry(max=2)}),
        ("fault-fail-times", "failed", {"retries": 2}, {"times": 9}),
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_keys_left_behind_are_those_of_stock_rq(case, make_system, redis_client):
    (function, options), (agent, status, task_options, payload) = CASES[case]
    theirs = stock(redis_client, function, **options)
    mine = ours(make_system, redis_client, agent, status, task_options, **payload)
    assert not (found := differences(mine, theirs)), "\n".join(found)


def test_a_concurrency_limit_leaves_what_stock_rq_leaves(make_system, redis_client, tmp_path):
    (tmp_path / "limited.py").write_text(
        "from pydantic import BaseModel\n"
        "from agent_service.agents import agent\n"
        "class Empty(BaseModel):\n    pass\n"
        "@agent('limited', concurrency=1)\n"
        "def limited(_: Empty) -> Empty:\n    return Empty()\n"
    )

    def with_agent(**settings):
        return make_system(AGENT_MODULES="limited", PYTHONPATH=str(tmp_path), **settings)

    theirs = stock(redis_client, fine, rate_limit=RateLimit("limited", 1))
    mine = ours(with_agent, redis_client, "limited", "finished")
    assert not (found := differences(mine, theirs)), "\n".join(found)


def test_a_canceled_task_leaves_what_stock_rq_leaves(make_system, redis_client):
    redis_client.flushall()
    Queue("default", connection=redis_client).enqueue(
        fine, result_ttl=86400, failure_ttl=604800, job_timeout=180, meta={"a": 1}
    ).cancel()
    theirs = snapshot(redis_client, "stock")
    redis_client.flushall()
    system = make_system(JOURNAL_HOURS="0")
    system.start_api()
    task = system.submit("fault-sleep", {"timeout_seconds": 180}, seconds=0)
    system.http.delete(f"/tasks/{task['id']}").raise_for_status()
    found = differences(snapshot(redis_client, "ours"), theirs)
    # RQ keeps canceled jobs for good; ours go when failed ones would.
    assert found == ["rq:job:<id>: expires True, stock False"]


def test_a_stopped_task_leaves_what_stock_rq_leaves(make_system, redis_client, valkey_url):
    redis_client.flushall()
    queue = Queue("default", connection=redis_client)
    job = queue.enqueue(sleeping, result_ttl=86400, failure_ttl=604800, job_timeout=180, meta={"a": 1})
    worker = subprocess.Popen(
        [sys.executable, "-m", "rq.cli", "worker", "--url", valkey_url, "--name", "stock", "--quiet", "default"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        wait_until(lambda: job.get_status() == "started" and job.refresh() is None and job.worker_name, "it runs")
        send_stop_job_command(redis_client, job.id)
        wait_until(lambda: job.get_status() == "stopped", "it is stopped")
    finally:
        worker.terminate()
        worker.wait(30)
    theirs = snapshot(redis_client, "stock")

    redis_client.flushall()
    system = make_system(JOURNAL_HOURS="0")
    system.start_api()
    process = system.start_worker()
    task = system.submit("fault-block", {"timeout_seconds": 180, "retries": 0}, seconds=40)
    system.wait_for(task, "started")
    system.http.delete(f"/tasks/{task['id']}").raise_for_status()
    name = system.wait_for(task, "stopped")["worker"]
    assert system.stop(process) == 0
    mine = snapshot(redis_client, name)
    # Stock RQ forgets when a stopped run ended; ours tells.
    del mine["rq:results:<id>"][1][0]["execution_ended_at"]  # type: ignore[index]
    assert not (found := differences(mine, theirs)), "\n".join(found)
