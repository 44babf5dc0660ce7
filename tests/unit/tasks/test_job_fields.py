"""A job's hash is read as RQ reads it."""

import json
import zlib
from datetime import UTC, datetime

import pytest
from redis import Redis
from rq import Queue
from rq.utils import utcformat

from agent_service.tasks.job_fields import FIELDS, JobFields
from agent_service.tasks.jobs import SERIALIZER, TASK_FUNCTION, TaskJob
from agent_service.tasks.ledger import StartedTask

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
META = {"agent": "planner", "submitted_at": NOW.isoformat(), "traceparent": None}


def a_job(**options):
    queue = Queue("default", connection=Redis(), job_class=TaskJob, serializer=SERIALIZER)
    arguments = {"agent": "planner", "payload": {"text": "é"}}
    job = queue.create_job(TASK_FUNCTION, kwargs=arguments, result_ttl=60, timeout=30, meta=META, **options)
    job.origin, job.enqueued_at = "default", NOW
    return job


def fields_of(job, **changed):
    raw = {name: value for name, value in job.to_dict().items() if value != ""} | changed
    return JobFields.of([_wire(raw.get(name)) for name in FIELDS])


def _wire(value):
    return value if value is None or isinstance(value, bytes) else str(value).encode()


def test_a_job_reads_the_same_with_and_without_rq():
    job = a_job()
    fields, theirs = fields_of(job), StartedTask.of(job, None)

    assert fields.call() == (theirs.agent, theirs.payload) == ("planner", {"text": "é"})
    assert fields.meta() == theirs.meta
    assert fields.number("timeout") == theirs.timeout == 30
    assert fields.moment("enqueued_at") == theirs.ready_at == NOW
    assert fields.is_usual()


@pytest.mark.parametrize("data", [b"", b"no json", zlib.compress(b"[]"), zlib.compress(b'["f", null, [], {}]')])
def test_a_job_that_is_none_of_ours_has_no_agent(data):
    assert fields_of(a_job(), data=data).call() == (None, {})


def test_a_foreign_meta_reads_as_that_of_an_unknown_agent():
    meta = fields_of(a_job(), meta=b'{"a": 1}', created_at=utcformat(NOW)).meta()
    assert (meta.agent, meta.submitted_at) == ("unknown", NOW)


def test_an_input_with_an_infinity_is_read():
    arguments = {"agent": "planner", "payload": {"limit": float("inf")}}
    data = zlib.compress(json.dumps([TASK_FUNCTION, None, [], arguments]).encode())
    assert fields_of(a_job(), data=data).call() == ("planner", {"limit": float("inf")})


@pytest.mark.parametrize("unusual", [{"rate_limit_key": "a"}, {"repeats_left": 2}, {"result_ttl": 0}])
def test_a_success_that_is_more_than_a_result_is_unusual(unusual):
    assert not fields_of(a_job(), **unusual).is_usual()
