"""Our worker leaves behind what stock RQ leaves behind, key by key and field by field.

Each case runs twice on the same Valkey: with RQ's own worker and a plain function, and with ours. Names, ids, times and
the payload differ; they are put aside before the two are held against each other.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue, Retry, Worker
from rq.command import send_stop_job_command
from rq.rate_limit import RateLimit, RateLimitRegistry

from agent_service.tasks.jobs import ATTEMPTS_FIELD, FIRST_PROCESS_FIELD, PROGRESS_FIELD, STOP_FIELD
from agent_service.tasks.workers import METRICS_FIELD
from tests.integration.system import wait_until

ROOT = Path(__file__).parents[3]
OURS = {ATTEMPTS_FIELD, FIRST_PROCESS_FIELD, PROGRESS_FIELD, STOP_FIELD, METRICS_FIELD}
VOLATILE = {
    "created_at", "enqueued_at", "started_at", "ended_at", "last_heartbeat", "execution_started_at",
    "execution_ended_at", "data", "meta", "description", "worker_name", "return_value", "exc_string", "exc_info",
    "execution_id",
    "retry_intervals",
}  # fmt: skip
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}")


def fine():
    return {"ok": True}


def failing():
    raise ValueError("no")


def sleeping():
    time.sleep(40)


def crashing():
    os.kill(os.getpid(), signal.SIGKILL)


def snapshot(redis: Redis, worker: str) -> dict[str, object]:
    """Return every key of RQ's, its fields, whether it expires, with what differs from run to run put aside."""
    for registry in RateLimitRegistry.all(redis):
        registry.cleanup()  # RQ's own maintenance, which our worker runs more often
    kept = {}
    for raw in redis.scan_iter("rq:*"):
        key = ID.sub("<id>", raw.decode().replace(worker, "<worker>"))
        if key.startswith(("rq:worker", "rq:scheduler", "rq:clean_", "rq:rate_limit_cleaning")) or "lock" in key:
            continue  # the worker's own records are compared by their content in `rq info`; locks come and go
        kept[key] = (redis.type(raw).decode(), _content(redis, raw), redis.ttl(raw) > 0)
    return kept


def _content(redis: Redis, key: bytes) -> object:
    kind = redis.type(key)
    if kind == b"hash":
        return {name: value for name, value in _fields(redis.hgetall(key)).items() if name not in OURS}
    if kind == b"stream":
        return [_fields(entry) for _, entry in redis.xrange(key)]
    if kind == b"zset":
        return len(redis.zrange(key, 0, -1))
    if kind == b"set":
        return len(redis.smembers(key))
    return redis.llen(key) if kind == b"list" else None


def _fields(raw: dict[bytes, bytes]) -> dict[str, str]:
    return {
        name.decode(): "<any>" if name.decode() in VOLATILE else value.decode(errors="replace")
        for name, value in raw.items()
    }


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


def differences(mine: dict[str, object], theirs: dict[str, object]) -> list[str]:
    """Return a line for each key, and for each field of a hash or entry of a stream, that the two do not share."""
    found = [f"only ours: {key}" for key in mine.keys() - theirs.keys()]
    found += [f"only stock: {key}" for key in theirs.keys() - mine.keys()]
    for key in mine.keys() & theirs.keys():
        found += [f"{key}: {line}" for line in _unlike(mine[key], theirs[key])]
    return sorted(found)


def _unlike(ours, theirs):
    if ours == theirs:
        return
    (_, content, expires), (_, their_content, they_expire) = ours, theirs
    if expires != they_expire:
        yield f"expires {expires}, stock {they_expire}"
    if isinstance(content, dict):
        names = sorted(content.keys() | their_content.keys())
        yield from (
            f"{name} {content.get(name)!r}, stock {their_content.get(name)!r}"
            for name in names
            if content.get(name) != their_content.get(name)
        )
    elif content != their_content:
        yield f"{content}, stock {their_content}"


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
