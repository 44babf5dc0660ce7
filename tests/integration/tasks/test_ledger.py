"""What a worker's child writes into the books, and what its supervisor mends when it dies in between."""

import asyncio
from pathlib import Path

import pytest
import redis.asyncio
from redis import Redis
from redis.exceptions import ConnectionError as LostConnectionError

from agent_service.agents import AgentRegistry, agent_modules
from agent_service.settings import Settings
from agent_service.tasks.broker import Broker
from agent_service.tasks.journal import Journal
from agent_service.tasks.ledger import Ledger, Success
from agent_service.tasks.models import Submission, TaskOptions
from agent_service.tasks.queries import TaskReader
from agent_service.tasks.rq_worker import RqWorker
from agent_service.tasks.scripted_ledger import ledger_for
from agent_service.tasks.submission import Submitter
from agent_service.telemetry.metrics import Metrics


class Books:
    """A queue, a worker's ledger of it, and its supervisor's."""

    def __init__(self, client: Redis, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        client.flushall()
        monkeypatch.chdir(Path(__file__).parent)
        self.client = client
        settings = Settings(redis_url=url)
        journal = Journal(client, settings)
        agents = AgentRegistry(agent_modules((), faults=True))
        self.submitter = Submitter(Broker(client), agents, settings, Metrics(), journal)
        worker = RqWorker(client, "default", "w", settings)
        self.loop_client = redis.asyncio.Redis.from_url(url)
        self.child = ledger_for(worker, journal, self.loop_client, ["fault-sleep"])
        self.supervisor = Ledger(worker, journal)
        self.reader = TaskReader(Broker(client))

    def submit(self, agent: str = "fault-sleep", **options: object) -> str:
        payload = {"seconds": 0}
        return self.submitter.submit(Submission(agent=agent, input=payload, options=TaskOptions(**options))).id

    def wait(self, wanted: int) -> list[str]:
        """Wait for tasks as the child's event loop does, and return the ids of those that were started."""

        async def wait() -> list[str]:
            started = await self.child.wait_async(1, lambda: wanted)
            await self.loop_client.aclose()
            return [task.id for task in started]

        return asyncio.run(wait())

    def status(self, task_id: str) -> str:
        return str(self.reader.get(task_id).status)


@pytest.fixture
def books(redis_client, valkey_url, monkeypatch):
    return Books(redis_client, valkey_url, monkeypatch)


def test_one_step_ends_tasks_and_takes_the_next(books):
    ids = [books.submit() for _ in range(5)]
    first = books.child.step([], 2)
    assert [started.id for started in first] == ids[:2]

    second = books.child.step([Success(started, {"n": 1}) for started in first], 2)

    assert [started.id for started in second] == ids[2:4]
    assert [books.status(task_id) for task_id in ids] == ["finished"] * 2 + ["started"] * 2 + ["queued"]
    assert books.reader.get(ids[0]).result == {"n": 1}


def test_rqs_own_methods_do_the_same_one_task_at_a_time(books):
    ids = [books.submit() for _ in range(3)]
    (first,) = books.supervisor.step([], 2)
    (second,) = books.supervisor.step([Success(first, {"n": 1})], 2)
    assert [first.id, second.id] == ids[:2]
    assert [books.status(task_id) for task_id in ids] == ["finished", "started", "queued"]
    assert (books.reader.get(ids[0]).result, first.attempt) == ({"n": 1}, 1)


def test_no_more_than_one_task_is_taken_that_cannot_run_beside_others(books):
    ids = [books.submit(agent) for agent in ("fault-sleep", "fault-block", "fault-block", "fault-sleep")]
    assert [started.id for started in books.child.step([], 4)] == ids[:2]
    assert books.status(ids[2]) == "queued"


def test_an_end_is_written_once(books):
    books.submit()
    (started,) = books.child.step([], 1)
    books.child.step([Success(started, {"n": 1})], 0)
    books.child.step([Success(started, {"n": 2})], 0)
    assert books.reader.get(started.id).result == {"n": 1}
    assert books.client.xlen(f"rq:results:{started.id}") == 1


def test_a_step_whose_answer_was_lost_takes_nothing_twice(books, monkeypatch):
    ids = [books.submit() for _ in range(3)]
    line = books.child._script
    calls = []

    def losing(arguments):
        calls.append(line(arguments))
        if len(calls) == 1:
            raise LostConnectionError("lost")
        return calls[-1]

    monkeypatch.setattr(books.child, "_script", losing)
    assert [started.id for started in books.child.step([], 2)] == ids[:2]
    assert [started.attempt for started in books.child.step([], 2)] == [1]
    assert [books.reader.get(task_id).attempts for task_id in ids] == [1, 1, 1]


def test_a_canceled_task_is_not_taken(books):
    task_id = books.submit()
    books.client.hset(f"rq:job:{task_id}", "status", "canceled")
    other = books.submit()
    assert [started.id for started in books.child.step([], 5)] == [other]


def test_what_a_child_took_and_told_nobody_of_goes_back_to_the_head_of_its_queue(books):
    ids = [books.submit() for _ in range(3)]
    told, *untold = books.child.step([], 2)

    assert books.supervisor.give_back_unheard({told.execution_id}) == 1

    assert [books.status(task_id) for task_id in ids] == ["started", "queued", "queued"]
    assert books.client.lindex("rq:queue:default", 0).decode() == untold[0].id == ids[1]
    assert books.reader.get(ids[1]).attempts == 0
    assert not list(books.client.scan_iter(f"rq:execution:{ids[1]}*"))
    (again,) = books.child.step([], 1)
    assert (again.id, again.attempt) == (ids[1], 1)


def test_a_task_waited_for_in_an_event_loop_brings_others_along(books):
    ids = [books.submit() for _ in range(3)]
    assert books.wait(2) == ids[:2]


def test_a_task_that_is_not_wanted_any_more_goes_back(books):
    ids = [books.submit() for _ in range(2)]
    assert books.wait(0) == []
    assert [raw.decode() for raw in books.client.lrange("rq:queue:default", 0, -1)] == ids
