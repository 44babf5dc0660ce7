"""Tasks that failed for good: read, retried and dropped, many at once."""

from __future__ import annotations

import time

import pytest


@pytest.fixture
def fail(api, redis_client):
    """Return a function that submits a task and lets it stand there as one that a worker has failed."""
    count = 0

    def failed(**task):
        nonlocal count
        count += 1
        submitted = api.submit(**task)
        queue, task_id = submitted["queue"], submitted["id"]
        redis_client.lrem(f"rq:queue:{queue}", 1, task_id)
        redis_client.hset(f"rq:job:{task_id}", "status", "failed")
        redis_client.zadd(f"rq:failed:{queue}", {task_id: time.time() + 1000 + count})
        return task_id

    return failed


def listed(api, query=""):
    return [task["id"] for task in api.get(f"/dead-letters{query}").json()["tasks"]]


def test_failed_tasks_of_all_queues_are_listed_the_latest_first(api, fail):
    ids = [fail(), fail(), fail()]
    api.submit()
    page = api.get("/dead-letters").json()
    assert [task["id"] for task in page["tasks"]] == ids[::-1]
    assert (page["total"], page["next_offset"]) == (3, None)
    assert all(task["status"] == "failed" and task["input"] is None for task in page["tasks"])


def test_they_are_paged_through(api, fail):
    ids = [fail() for _ in range(5)]
    found, offset = [], 0
    while offset is not None:
        page = api.get(f"/dead-letters?limit=2&offset={offset}").json()
        found += [task["id"] for task in page["tasks"]]
        offset = page["next_offset"]
    assert found == ids[::-1]


def test_they_are_filtered_by_agent_and_queue(api, fail):
    task_id = fail()
    assert listed(api, "?agent=measure") == listed(api, "?queue=default") == [task_id]
    assert listed(api, "?agent=nobody") == listed(api, "?queue=slow") == []


def test_those_whose_time_is_over_are_not_there(api, fail, redis_client):
    task_id = fail()
    redis_client.zadd("rq:failed:default", {task_id: time.time() - 1})
    assert api.get("/dead-letters").json() == {"tasks": [], "total": 0, "next_offset": None}


def test_many_are_retried_each_by_itself(api, fail):
    failed, waiting = fail(), api.submit()["id"]
    results = api.post("/dead-letters/retry", json={"task_ids": [failed, waiting, "nope"]}).json()["results"]
    assert [(result["task_id"], result["status"]) for result in results] == [
        (failed, 202),
        (waiting, 409),
        ("nope", 404),
    ]
    assert [result["problem"] and result["problem"]["type"] for result in results] == [
        None,
        "/problems/invalid-transition",
        "/problems/task-not-found",
    ]
    assert api.get(f"/tasks/{failed}").json()["status"] == "queued"
    assert listed(api) == []


def test_many_are_dropped_with_everything_of_theirs(api, fail, redis_client):
    failed, waiting = fail(), api.submit()["id"]
    results = api.post("/dead-letters/drop", json={"task_ids": [failed, waiting, "nope"]}).json()["results"]
    assert [result["status"] for result in results] == [200, 409, 404]
    assert api.get(f"/tasks/{failed}").status_code == 404
    assert api.get(f"/tasks/{waiting}").json()["status"] == "queued"
    assert not [key for key in redis_client.scan_iter() if failed.encode() in key]
    assert [task["id"] for task in api.get("/tasks").json()["tasks"]] == [waiting]


@pytest.mark.parametrize("body", [{}, {"task_ids": []}, {"task_ids": ["x"] * 1001}, {"task_ids": [1]}, {"all": True}])
@pytest.mark.parametrize("what", ["retry", "drop"])
def test_a_request_that_names_no_tasks_is_refused(api, what, body):
    response = api.post(f"/dead-letters/{what}", json=body)
    assert (response.status_code, response.json()["type"]) == (422, "/problems/invalid-request")
