"""What RQ's own users may ask of a job works on our worker too, and leaves what stock RQ leaves.

Each case is a list of jobs. They are put in with RQ's own calls, once for RQ's worker and once for ours, and the two
readings of Redis are held against each other.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Callback, Queue, Repeat, Retry, Worker
from rq.command import send_stop_job_command
from rq.exceptions import NoSuchJobError
from rq.group import Group
from rq.job import Dependency, Job
from rq.rate_limit import RateLimit
from rq.serializers import DefaultSerializer, JSONSerializer

from agent_service.tasks.jobs import TASK_FUNCTION
from tests.integration.system import System, wait_until
from tests.integration.worker.rq_keys import differences, snapshot

ROOT = Path(__file__).parents[3]
GONE = "gone"
CALLED = "called"
"""The list that the callbacks write to."""

CALLBACKS = """
import subprocess
import time

def note(job, connection, *rest):
    connection.rpush("called", f"{job.id} {job.get_status(refresh=False).value} {len(rest)}")

def note_and_raise(job, connection, *rest):
    note(job, connection, *rest)
    raise LookupError("the callback's own")

def dawdle(job, connection, *rest):
    note(job, connection, *rest)
    for _ in range(400):
        time.sleep(0.05)
"""


def fine():
    return {"ok": True}


def failing():
    raise ValueError("no")


def sleeping():
    time.sleep(40)


@dataclass(frozen=True)
class Wanted:
    """A job of a case.

    Attributes:
        id: Its id, which other jobs of the case may depend on.
        fails: Whether its function raises.
        ends: The status it comes to rest in.
        options: What RQ's `enqueue` is told of it.
    """

    id: str
    ends: str = "finished"
    fails: bool = False
    options: dict[str, Any] = field(default_factory=dict)


CASES: dict[str, list[Wanted]] = {
    "a dependent of a success": [Wanted("first"), Wanted("second", options={"depends_on": "first"})],
    "a dependent of a failure": [
        Wanted("first", "failed", fails=True),
        Wanted("second", "deferred", options={"depends_on": "first"}),
    ],
    "a dependent that a failure may pass": [
        Wanted("first", "failed", fails=True),
        Wanted("second", options={"depends_on": Dependency("first", allow_failure=True)}),
    ],
    "a dependent of two": [
        Wanted("first"),
        Wanted("second"),
        Wanted("third", options={"depends_on": ["first", "second"]}),
    ],
    "a dependent of a success and a failure": [
        Wanted("first"),
        Wanted("second", "failed", fails=True),
        Wanted("third", "deferred", options={"depends_on": ["first", "second"]}),
    ],
    "a chain": [
        Wanted("first"),
        Wanted("second", options={"depends_on": "first"}),
        Wanted("third", options={"depends_on": "second"}),
    ],
    "a dependent of a retry that fails": [
        Wanted("first", "failed", fails=True, options={"retry": Retry(max=1)}),
        Wanted("second", "deferred", options={"depends_on": "first"}),
    ],
    "a retry that waits": [Wanted("first", "scheduled", fails=True, options={"retry": Retry(max=1, interval=600)})],
    "a repeat at once": [Wanted("first", options={"repeat": Repeat(times=2)})],
    "a repeat that waits": [Wanted("first", "scheduled", options={"repeat": Repeat(times=2, interval=600)})],
    "a repeat that fails": [Wanted("first", "failed", fails=True, options={"repeat": Repeat(times=2)})],
    "a rate limit": [
        Wanted(name, options={"rate_limit": RateLimit("narrow", 1)}) for name in ("first", "second", "third")
    ],
    "a rate limit and a failure": [
        Wanted("first", "failed", fails=True, options={"rate_limit": RateLimit("narrow", 1)}),
        Wanted("second", options={"rate_limit": RateLimit("narrow", 1)}),
    ],
    "a rate limit and a retry": [
        Wanted("first", "failed", fails=True, options={"rate_limit": RateLimit("narrow", 1), "retry": Retry(max=1)}),
        Wanted("second", options={"rate_limit": RateLimit("narrow", 1)}),
    ],
    "a rate limit and a dependent": [
        Wanted("first", options={"rate_limit": RateLimit("narrow", 1)}),
        Wanted("second", options={"rate_limit": RateLimit("narrow", 1), "depends_on": "first"}),
    ],
    "a group": [Wanted("first", options={"group_id": "team"}), Wanted("second", options={"group_id": "team"})],
    "a group with a failure": [
        Wanted("first", "failed", fails=True, options={"group_id": "team"}),
        Wanted("second", options={"group_id": "team"}),
    ],
    "a result that is not kept": [Wanted("first", GONE, options={"result_ttl": 0})],
    "a result that is kept for good": [Wanted("first", options={"result_ttl": -1})],
    "a failure that is kept for an hour": [Wanted("first", "failed", fails=True, options={"failure_ttl": 3600})],
    "a success callback": [Wanted("first", options={"on_success": Callback("called.note", timeout=9)})],
    "a success callback that raises": [
        Wanted("first", "failed", options={"on_success": Callback("called.note_and_raise")})
    ],
    "a success callback that raises, and one for that": [
        Wanted(
            "first",
            "failed",
            options={
                "on_success": Callback("called.note_and_raise"),
                "on_failure": Callback("called.note"),
                "retry": Retry(max=1),
            },
        )
    ],
    "a success callback that takes too long": [
        Wanted("first", "failed", options={"on_success": Callback("called.dawdle", timeout=1)})
    ],
    "a failure callback": [Wanted("first", "failed", fails=True, options={"on_failure": Callback("called.note")})],
    "a failure callback for each run": [
        Wanted("first", "failed", fails=True, options={"on_failure": Callback("called.note"), "retry": Retry(max=2)})
    ],
    "a failure callback that raises": [
        Wanted("first", "failed", fails=True, options={"on_failure": Callback("called.note_and_raise")})
    ],
    "callbacks and a dependent": [
        Wanted("first", options={"on_success": Callback("called.note")}),
        Wanted("second", options={"depends_on": "first", "on_success": Callback("called.note")}),
    ],
}


class Side:
    """One of the two: how its jobs are put in."""

    def __init__(self, redis: Redis, serializer: Any, call: Callable[[Wanted], dict[str, Any]]) -> None:
        self._redis = redis
        self._serializer = serializer
        self._call = call
        self._queue = Queue("default", connection=redis, serializer=serializer)

    def put(self, wanted: Wanted) -> Job:
        options = {"job_timeout": 180, "result_ttl": 86400, "failure_ttl": 604800, **wanted.options}
        call = self._call(wanted)
        group = options.pop("group_id", None)
        if group is None:
            return self._queue.enqueue(**call, job_id=wanted.id, **options)
        options["timeout"] = options.pop("job_timeout")
        data = Queue.prepare_data(call["f"], kwargs=call.get("kwargs"), meta=call["meta"], job_id=wanted.id, **options)
        return Group(self._redis, group).enqueue_many(self._queue, [data])[0]

    def status(self, wanted: Wanted) -> str:
        try:
            job = Job.fetch(wanted.id, connection=self._redis, serializer=self._serializer)
        except NoSuchJobError:
            return GONE
        return str(job.get_status(refresh=False).value)

    def is_at_rest(self, case: list[Wanted]) -> bool:
        return all(self.status(wanted) == wanted.ends for wanted in case) and not self._redis.keys("rq:execution:*")


def stock_side(redis: Redis) -> Side:
    return Side(redis, DefaultSerializer, lambda wanted: {"f": failing if wanted.fails else fine, "meta": {"a": 1}})


def our_side(redis: Redis) -> Side:
    def call(wanted: Wanted) -> dict[str, Any]:
        agent, payload = ("fault-fail", {"message": "no"}) if wanted.fails else ("fault-sleep", {"seconds": 0})
        meta = {"agent": agent, "submitted_at": "2026-01-01T00:00:00Z"}
        return {"f": TASK_FUNCTION, "kwargs": {"agent": agent, "payload": payload}, "meta": meta}

    return Side(redis, JSONSerializer, call)


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a module with callbacks, which both sides can import."""
    folder = tmp_path_factory.mktemp("called")
    (folder / "called.py").write_text(CALLBACKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder


@pytest.fixture
def ours(make_system, called: Path) -> System:
    """Our API, which tells of the workers; a test starts one when its jobs are in. They run in turn, as in stock RQ."""
    system: System = make_system(
        JOURNAL_HOURS="0", AGENT_MODULES="called", PYTHONPATH=str(called), WORKER_ASYNC_TASKS="1"
    )
    system.start_api()
    return system


def take_calls(redis: Redis) -> list[str]:
    calls = [call.decode() for call in redis.lrange(CALLED, 0, -1)]
    redis.delete(CALLED)
    return calls


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_option_of_rq_leaves_what_stock_rq_leaves(case: str, ours: System, redis_client: Redis):
    jobs = CASES[case]
    theirs = stock_side(redis_client)
    for wanted in jobs:
        theirs.put(wanted)
    # RQ's burst ends when the queue is empty; a task that a limit holds back is promoted by the run before it.
    Worker(["default"], connection=redis_client, name="stock").work(burst=True, logging_level="CRITICAL")
    assert theirs.is_at_rest(jobs), [theirs.status(wanted) for wanted in jobs]
    expected, their_calls = snapshot(redis_client, "stock"), take_calls(redis_client)

    redis_client.flushall()
    mine = our_side(redis_client)
    for wanted in jobs:
        mine.put(wanted)
    worker = ours.start_worker()
    name = ours.worker_records()[0]["name"]
    wait_until(lambda: mine.is_at_rest(jobs), f"{case} is at rest", 30)
    assert ours.stop(worker) == 0

    found = differences(snapshot(redis_client, name), expected)
    assert not found, "\n".join(found)
    assert take_calls(redis_client) == their_calls


def test_a_stopped_callback_is_called_as_stock_rq_calls_it(ours: System, redis_client: Redis, valkey_url: str, called):
    options = {"job_timeout": 180, "on_stopped": Callback("called.note")}
    job = Queue("default", connection=redis_client).enqueue(sleeping, job_id="first", **options)
    stock = subprocess.Popen(
        [sys.executable, "-m", "rq.cli", "worker", "--url", valkey_url, "--quiet", "default"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{called}", "PATH": "/usr/bin:/bin"},
    )
    try:
        stop_once_it_runs(redis_client, job)
    finally:
        stock.terminate()
        stock.wait(30)
    their_calls = take_calls(redis_client)

    redis_client.flushall()
    queue = Queue("default", connection=redis_client, serializer=JSONSerializer)
    meta = {"agent": "fault-block", "submitted_at": "2026-01-01T00:00:00Z"}
    call = {"agent": "fault-block", "payload": {"seconds": 40}}
    job = queue.enqueue(TASK_FUNCTION, kwargs=call, meta=meta, job_id="first", **options)
    worker = ours.start_worker()
    stop_once_it_runs(redis_client, job)
    assert ours.stop(worker) == 0
    assert take_calls(redis_client) == their_calls == ["first started 0"]


def stop_once_it_runs(redis: Redis, job: Job) -> None:
    wait_until(lambda: job.refresh() is None and job.get_status() == "started" and job.worker_name, "it runs")
    send_stop_job_command(redis, job.id, serializer=job.serializer)
    wait_until(lambda: job.get_status() == "stopped", "it is stopped")


def test_a_callback_outside_the_agent_modules_is_refused(ours: System, redis_client: Redis):
    """Whoever can write to Redis must not be able to run any function that Python can import."""
    mine = our_side(redis_client)
    mine.put(Wanted("first", options={"on_success": Callback("os.system")}))
    mine.put(Wanted("second", fails=True, options={"on_failure": Callback("called.subprocess.run")}))
    ours.start_worker()
    for task_id, function in (("first", "os.system"), ("second", "called.subprocess.run")):
        wait_until(lambda task_id=task_id: mine.status(Wanted(task_id)) == "failed", "it failed")
        error = ours.task(task_id)["error"]
        assert error["type"] == "CallbackRefusedError"
        assert function in error["message"]
        assert "AGENT_MODULES" in error["message"]
