"""Submitting, reading, ending and retrying tasks over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from rq.job import JobStatus
from rq.registry import FailedJobRegistry

from agent_service.tasks.jobs import SERIALIZER, TaskJob

TASK = {"agent": "measure", "input": {"text": "some words"}}
NOBODY = "0199aa5e-0000-7000-8000-000000000000"


def end_as_failed(redis, task_id):
    """Write what RQ writes when a task failed for good."""
    job = TaskJob.fetch(task_id, connection=redis, serializer=SERIALIZER)
    redis.lrem(f"rq:queue:{job.origin}", 0, task_id)
    job.set_status(JobStatus.FAILED)
    FailedJobRegistry(job.origin, redis, job_class=TaskJob, serializer=SERIALIZER).add(job, ttl=1000)


def begin(redis, task_id):
    """Write what RQ writes when a worker has taken a task."""
    job = TaskJob.fetch(task_id, connection=redis, serializer=SERIALIZER)
    redis.lrem(f"rq:queue:{job.origin}", 0, task_id)
    job.worker_name = "worker-1"
    job.save()
    job.set_status(JobStatus.STARTED)


def pointers(problem):
    return [error["pointer"] for error in problem["errors"]]


def test_a_submitted_task_is_acknowledged_and_can_be_read(api):
    response = api.post(
        "/tasks",
        json={**TASK, "options": {"retries": 1, "metadata": {"ticket": "42"}}},
        headers={"X-API-Key": "key-of-ops", "Authorization": ""},
    )

    assert response.status_code == 202
    task = response.json()
    assert response.headers["location"] == task["links"]["self"] == f"/tasks/{task['id']}"
    assert "idempotency-replayed" not in response.headers
    assert (task["status"], task["queue"], task["submitted_by"]) == ("queued", "default", "ops")
    assert (task["retries_left"], task["metadata"]) == (1, {"ticket": "42"})
    read = api.get(response.headers["location"])
    assert read.status_code == 200
    assert read.json()["input"] == {"text": "some words", "parts": []}


def test_a_task_of_an_agent_with_a_limit_is_accepted_too(api):
    assert api.submit("measure-alone")["queue"] == "slow"


def test_a_delayed_task_is_scheduled_and_an_urgent_one_goes_first(api, redis_client):
    assert api.submit(delay_seconds=60)["status"] == "scheduled"
    api.submit()
    urgent = api.submit(priority="high")
    assert redis_client.lindex("rq:queue:default", 0).decode() == urgent["id"]


def test_an_unknown_agent_is_refused_with_its_place_in_the_body(api):
    response = api.post("/tasks", json={**TASK, "agent": "nobody"})
    problem = response.json()
    assert (response.status_code, problem["type"]) == (422, "/problems/unknown-agent")
    assert pointers(problem) == ["#/agent"]
    assert "measure" in problem["detail"]


def test_an_internal_agent_is_unknown_to_clients(api):
    response = api.post("/tasks", json={**TASK, "agent": "house-keeping"})
    assert (response.status_code, response.json()["type"]) == (422, "/problems/unknown-agent")
    assert api.get("/agents/house-keeping").status_code == 404
    assert "house-keeping" not in [agent["name"] for agent in api.get("/agents").json()]


def test_input_that_the_agent_refuses_is_answered_with_the_fields(api):
    response = api.post("/tasks", json={**TASK, "input": {"text": "", "parts": [1, "two"]}})
    problem = response.json()
    assert (response.status_code, problem["type"]) == (422, "/problems/invalid-input")
    assert pointers(problem) == ["#/input/text", "#/input/parts/1"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/hook", "http://[::1]/", "http://169.254.169.254/", "ftp://x/y"])
def test_a_callback_into_the_own_network_is_refused(api, url):
    response = api.post("/tasks", json={**TASK, "options": {"callback_url": url}})
    assert (response.status_code, response.json()["type"]) == (422, "/problems/invalid-callback")
    assert pointers(response.json()) == ["#/options/callback_url"]


def test_a_callback_into_the_own_network_can_be_allowed(make_api):
    api = make_api(callback_allow_private=True)
    assert api.submit(callback_url="http://127.0.0.1:1/hook")["status"] == "queued"


# Idempotency


def test_the_same_key_and_body_give_the_same_task(api, redis_client):
    headers = {"Idempotency-Key": "order 7"}
    first = api.post("/tasks", json=TASK, headers=headers)
    again = api.post("/tasks", json=TASK, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert redis_client.llen("rq:queue:default") == 1


def test_the_same_key_with_another_body_is_refused(api):
    headers = {"Idempotency-Key": "order 7"}
    api.post("/tasks", json=TASK, headers=headers)
    response = api.post("/tasks", json={**TASK, "input": {"text": "other words"}}, headers=headers)
    assert (response.status_code, response.json()["type"]) == (422, "/problems/idempotency-key-reused")


def test_two_clients_may_choose_the_same_key(api):
    first = api.post("/tasks", json=TASK, headers={"Idempotency-Key": "1"})
    other = api.post("/tasks", json=TASK, headers={"Idempotency-Key": "1", "Authorization": "Bearer key-of-ops"})
    assert first.json()["id"] != other.json()["id"]


def test_a_key_in_use_is_busy_for_a_moment(api, redis_client):
    redis_client.set("agents:idempotency-lock:ci:order 7", "another request")
    response = api.post("/tasks", json=TASK, headers={"Idempotency-Key": "order 7"})
    assert (response.status_code, response.headers["retry-after"]) == (409, "1")
    assert response.json()["type"] == "/problems/idempotency-key-busy"


def test_concurrent_requests_with_one_key_make_one_task(api, redis_client):
    def send(_):
        return api.post("/tasks", json=TASK, headers={"Idempotency-Key": "order 7"})

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(send, range(16)))

    assert {response.status_code for response in responses} <= {202, 409}
    assert len({response.json()["id"] for response in responses if response.status_code == 202}) == 1
    assert redis_client.llen("rq:queue:default") == 1


def test_a_refused_submission_leaves_its_key_free(api):
    headers = {"Idempotency-Key": "order 7"}
    assert api.post("/tasks", json={**TASK, "input": {"text": ""}}, headers=headers).status_code == 422
    assert api.post("/tasks", json=TASK, headers=headers).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", b"\xc3\xa4"])
def test_a_key_that_is_not_printable_ascii_is_refused(api, key):
    response = api.post("/tasks", json=TASK, headers={"Idempotency-Key": key})
    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "Idempotency-Key"


def test_a_key_may_stand_for_a_body_with_uncommon_numbers(api):
    body = {**TASK, "input": {"text": "x", "unknown": 2**80, "deep": [[[1e308]]]}}
    headers = {"Idempotency-Key": "order 7"}
    first, again = (api.post("/tasks", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]


# Batches


def test_one_bad_task_does_not_spoil_a_batch(api, redis_client):
    bad_options = {**TASK, "options": {"priority": "low", "metadata": {"a/b": 1}}}
    tasks = [TASK, {"agent": "nobody"}, 17, {**TASK, "input": {"text": ""}}, bad_options, TASK]
    response = api.post("/tasks/batch", json={"tasks": tasks})

    assert response.status_code == 200
    results = response.json()["results"]
    assert [result["status"] for result in results] == [202, 422, 422, 422, 422, 202]
    assert results[1]["problem"]["type"] == "/problems/unknown-agent"
    assert pointers(results[1]["problem"]) == ["#/tasks/1/agent"]
    assert pointers(results[2]["problem"]) == ["#/tasks/2"]
    assert pointers(results[3]["problem"]) == ["#/tasks/3/input/text"]
    assert pointers(results[4]["problem"]) == ["#/tasks/4/options/priority", "#/tasks/4/options/metadata/a~1b"]
    assert [result["task"]["id"] for result in (results[0], results[5])] == [
        task_id.decode() for task_id in redis_client.lrange("rq:queue:default", 0, -1)
    ]


def test_a_batch_fills_its_queue_and_no_further(make_api):
    results = make_api(max_queue_tasks=2).post("/tasks/batch", json={"tasks": [TASK] * 4}).json()["results"]
    assert [result["status"] for result in results] == [202, 202, 429, 429]
    assert results[2]["problem"]["type"] == "/problems/queue-full"


def test_a_batch_holds_one_to_a_thousand_tasks(api, redis_client):
    assert api.post("/tasks/batch", json={"tasks": []}).status_code == 422
    assert api.post("/tasks/batch", json={"tasks": [TASK] * 1001}).status_code == 422
    assert api.post("/tasks/batch", json={"tasks": [TASK] * 1000}).status_code == 200
    assert redis_client.llen("rq:queue:default") == 1000


# Lists


def test_tasks_are_paged_newest_first(api):
    ids = [api.submit()["id"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = api.get("/tasks", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        assert len(page["tasks"]) <= 2
        seen += [task["id"] for task in page["tasks"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == ids[::-1]


def test_tasks_are_filtered_by_agent_and_status(api):
    waiting, later, other = api.submit(), api.submit(delay_seconds=60), api.submit("measure-alone")

    def ids(**filters):
        return [task["id"] for task in api.get("/tasks", params=filters).json()["tasks"]]

    assert ids(agent="measure") == [later["id"], waiting["id"]]
    assert ids(agent="measure", status="scheduled") == [later["id"]]
    assert ids(agent="measure-alone") == [other["id"]]
    assert ids(agent="nobody") == []


@pytest.mark.parametrize(
    ("parameter", "value"), [("limit", "0"), ("limit", "201"), ("cursor", "next"), ("status", "lost"), ("limit", "two")]
)
def test_a_list_parameter_that_does_not_fit_is_named(api, parameter, value):
    response = api.get("/tasks", params={parameter: value})
    assert response.status_code == 422
    assert [error["parameter"] for error in response.json()["errors"]] == [parameter]


# Cancel and retry


def test_a_waiting_task_is_canceled_at_once(api, redis_client):
    task = api.submit()
    response = api.delete(f"/tasks/{task['id']}")
    assert (response.status_code, response.json()["status"]) == (200, "canceled")
    assert redis_client.llen("rq:queue:default") == 0
    assert api.delete(f"/tasks/{task['id']}").status_code == 200


def test_a_running_task_is_asked_to_stop(api, redis_client):
    task = api.submit()
    begin(redis_client, task["id"])
    response = api.delete(f"/tasks/{task['id']}")
    assert (response.status_code, response.json()["status"]) == (202, "started")


def test_what_has_ended_cannot_be_canceled(api, redis_client):
    task = api.submit()
    end_as_failed(redis_client, task["id"])
    response = api.delete(f"/tasks/{task['id']}")
    assert (response.status_code, response.json()["type"]) == (409, "/problems/invalid-transition")


def test_a_failed_task_is_retried(api, redis_client):
    task = api.submit()
    end_as_failed(redis_client, task["id"])
    response = api.post(f"/tasks/{task['id']}/retry")
    assert (response.status_code, response.json()["status"]) == (202, "queued")


def test_a_waiting_task_is_not_retried(api):
    response = api.post(f"/tasks/{api.submit()['id']}/retry")
    assert (response.status_code, response.json()["type"]) == (409, "/problems/invalid-transition")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks/{}"),
        ("DELETE", "/tasks/{}"),
        ("POST", "/tasks/{}/retry"),
        ("GET", "/tasks/{}/spans"),
        ("GET", "/tasks/{}/logs"),
        ("GET", "/tasks/{}/events"),
    ],
)
@pytest.mark.parametrize("task_id", [NOBODY, "no-id", "%00", "a%3Ab", "%F0%9F%98%80", "%FF"])
def test_a_task_that_does_not_exist_is_not_found(api, method, path, task_id):
    response = api.request(method, path.format(task_id))
    assert (response.status_code, response.json()["type"]) == (404, "/problems/task-not-found")


# Journal


def test_the_log_lines_of_a_task_are_listed(api, redis_client):
    task = api.submit()
    pipeline = redis_client.pipeline()
    api.services.journal.add(pipeline, task["id"], "log", {"message": "counting", "log": {"level": "info"}})
    pipeline.execute()
    assert api.get(f"/tasks/{task['id']}/logs").json() == [{"message": "counting", "log": {"level": "info"}}]


def test_tasks_are_listed_by_queue_and_by_time(api):
    first, other = api.submit(), api.submit(agent="measure-alone")

    def listed(**query):
        return [task["id"] for task in api.get("/tasks", params=query).json()["tasks"]]

    assert listed(queue="slow") == [other["id"]]
    assert listed(queue="default") == [first["id"]]
    assert listed(since="2020-01-01T00:00:00Z") == [other["id"], first["id"]]
    assert listed(until="2020-01-01T00:00:00Z") == listed(since="2100-01-01T00:00:00Z") == []
    begin = datetime.now(UTC) - timedelta(minutes=1)
    assert listed(since=begin.isoformat(), until="2100-01-01T00:00:00Z") == [other["id"], first["id"]]
    assert listed(cursor=other["id"], until="2100-01-01T00:00:00Z") == [first["id"]]


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-24T09:00:00"])
def test_a_time_without_its_zone_is_refused(api, moment):
    assert api.get("/tasks", params={"since": moment}).status_code == 422
