"""Whether the workers may take tasks."""

from __future__ import annotations

import pytest

from tests.integration.api.test_service import register_worker


def test_workers_are_suspended_until_they_are_resumed(api, redis_client):
    register_worker(redis_client)
    assert api.get("/workers/suspension").json() == {"suspended": False, "seconds_left": None}
    assert api.post("/workers/suspend", json={}).json() == {"suspended": True, "seconds_left": None}
    assert api.get("/workers/suspension").json() == {"suspended": True, "seconds_left": None}
    assert [worker["state"] for worker in api.get("/workers").json()] == ["suspended"]
    assert api.post("/workers/resume").json() == {"suspended": False, "seconds_left": None}
    assert [worker["state"] for worker in api.get("/workers").json()] == ["idle"]


def test_a_suspension_may_end_by_itself(api, redis_client):
    assert api.post("/workers/suspend", json={"seconds": 60}).json()["seconds_left"] == 60
    assert 0 < redis_client.ttl("rq:suspended") <= 60
    assert 0 < api.get("/workers/suspension").json()["seconds_left"] <= 60


@pytest.mark.parametrize("seconds", [0, -1, 1.5, "soon", 10**9])
def test_a_suspension_that_makes_no_sense_is_refused(api, redis_client, seconds):
    response = api.post("/workers/suspend", json={"seconds": seconds})
    assert (response.status_code, response.json()["type"]) == (422, "/problems/invalid-request")
    assert not redis_client.exists("rq:suspended")


def test_a_suspended_worker_takes_nothing_and_goes_on_afterwards(system):
    system.http.post("/workers/suspend", json={}).raise_for_status()
    task = system.submit("fault-sleep", seconds=0)
    assert [worker["state"] for worker in system.worker_records()] == ["suspended"]
    assert system.task(task)["status"] == "queued"
    system.http.post("/workers/resume").raise_for_status()
    system.wait_for(task, "finished")
