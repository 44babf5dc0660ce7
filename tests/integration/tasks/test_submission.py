"""Tasks that come after others reach their queue, whenever the others end."""

import pytest
from pydantic import BaseModel
from rq.job import JobStatus

from agent_service.agents import AgentRegistry, agent
from agent_service.settings import Settings
from agent_service.tasks.broker import Broker
from agent_service.tasks.journal import Journal
from agent_service.tasks.models import Submission, TaskStatus
from agent_service.tasks.submission import Submitter
from agent_service.telemetry.metrics import Metrics


class Nothing(BaseModel):
    pass


@agent("nothing")
def nothing(_: Nothing) -> Nothing:
    return Nothing()


@pytest.fixture
def submitter(redis_client):
    settings = Settings()
    agents = AgentRegistry([])
    agents.add(nothing)
    return Submitter(Broker(redis_client), agents, settings, Metrics(), Journal(redis_client, settings))


def after(submitter, *tasks):
    prepared = submitter.prepare(Submission(agent="nothing"), after=[task.id for task in tasks])
    return submitter.enqueue([prepared])[0]


@pytest.mark.parametrize("status", [JobStatus.FINISHED, JobStatus.FAILED])
def test_a_task_whose_predecessors_have_all_ended_is_queued_at_once(submitter, redis_client, status):
    earlier = [submitter.submit(Submission(agent="nothing")) for _ in range(2)]
    for task in earlier:
        submitter.broker.fetch(task.id).set_status(status)
    task = after(submitter, *earlier)
    assert task.status is TaskStatus.QUEUED
    assert redis_client.lpos("rq:queue:default", task.id) is not None


def test_a_task_waits_for_a_predecessor_that_has_not_ended(submitter, redis_client):
    task = after(submitter, submitter.submit(Submission(agent="nothing")))
    assert task.status is TaskStatus.DEFERRED
    assert redis_client.zscore("rq:deferred:default", task.id) is not None
    assert redis_client.lpos("rq:queue:default", task.id) is None


def test_a_predecessor_that_has_expired_holds_nothing_up(submitter, redis_client):
    earlier = submitter.submit(Submission(agent="nothing"))
    submitter.broker.fetch(earlier.id).delete()
    assert after(submitter, earlier).status is TaskStatus.QUEUED
