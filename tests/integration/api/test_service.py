"""Agents, workflows, workers, health, metrics and the pages."""

from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families


def test_an_agent_is_described_with_its_schemas(api):
    agent = api.get("/agents/measure").json()
    names = ("version", "owner", "queue", "timeout_seconds", "retries", "concurrency")
    assert {name: agent[name] for name in names} == {
        "version": "7",
        "owner": "docs",
        "queue": "default",
        "timeout_seconds": 30,
        "retries": 2,
        "concurrency": None,
    }
    assert agent["description"] == "Count the characters of a text."
    assert agent["input_schema"]["required"] == ["text"]
    assert agent["result_schema"]["properties"]["characters"]["type"] == "integer"
    assert agent in api.get("/agents").json()


def test_an_unknown_agent_is_not_found(api):
    response = api.get("/agents/nobody")
    assert (response.status_code, response.json()["type"]) == (404, "/problems/agent-not-found")


def test_workflows_are_listed_with_their_schemas(api):
    workflows = {workflow["name"]: workflow for workflow in api.get("/workflows").json()}
    assert workflows["document-report"]["input_schema"]["type"] == "object"


def example_of(api):
    """Return the documented example of a document report's input."""
    operation = api.get("/openapi.json").json()["paths"]["/workflows/{workflow}"]["post"]
    return operation["requestBody"]["content"]["application/json"]["examples"]["document"]["value"]


def test_a_workflow_is_started_read_and_canceled(api):
    started = api.post("/workflows/document-report", json=example_of(api))
    assert started.status_code == 202, started.text
    run = started.json()
    assert started.headers["location"] == f"/workflows/{run['id']}"
    assert run["status"] == "running"
    assert api.get(started.headers["location"]).json()["id"] == run["id"]
    canceled = api.delete(started.headers["location"])
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")


def test_a_workflows_input_is_pointed_at_from_the_root_of_the_body(api):
    response = api.post("/workflows/document-report", json={"no": "document"})
    problem = response.json()
    assert (response.status_code, problem["type"]) == (422, "/problems/invalid-input")
    assert all(error["pointer"].startswith("#/") for error in problem["errors"])
    assert not any(error["pointer"].startswith("#/input") for error in problem["errors"])


@pytest.mark.parametrize(("method", "path"), [("POST", "/workflows/none"), ("GET", "/workflows/none")])
def test_an_unknown_workflow_is_not_found(api, method, path):
    response = api.request(method, path, json={} if method == "POST" else None)
    assert (response.status_code, response.json()["type"]) == (404, "/problems/workflow-not-found")


def register_worker(redis, **fields):
    """Write what a worker writes about itself."""
    redis.sadd("rq:workers", "rq:worker:worker-1")
    heard = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    redis.hset(
        "rq:worker:worker-1",
        mapping={"queues": "default", "state": "idle", "hostname": "here", "pid": 7, "last_heartbeat": heard, **fields},
    )


def test_the_service_is_ready_with_redis_and_a_worker(api, redis_client):
    without = api.get("/readyz")
    assert without.status_code == 503
    assert without.json() == {"ready": False, "checks": {"redis": "ok", "worker": "no live worker"}}
    register_worker(redis_client)
    assert api.get("/readyz").json() == {"ready": True, "checks": {"redis": "ok", "worker": "ok"}}
    assert [worker["name"] for worker in api.get("/workers").json()] == ["worker-1"]


def test_a_process_is_alive_whatever_is_away(make_api):
    api = make_api(redis_url="redis://127.0.0.1:1/0")
    assert api.get("/healthz").status_code == 200
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["redis"]) == (503, "does not answer")


def test_requests_are_measured_by_the_template_of_their_route(api):
    api.get("/tasks/0199aa5e-0000-7000-8000-000000000000")
    api.get("/healthz")
    api.get("/some/guess")
    api.request("BREW", "/tasks")
    api.get("/agents", headers={"Authorization": ""})
    page, _ = api.services.metrics.render()
    counted = {
        (labels["http_request_method"], labels["http_route"], labels["http_response_status_code"])
        for family in text_string_to_metric_families(page.decode())
        if family.name == "http_server_request_duration_seconds"
        for labels in (sample.labels for sample in family.samples if sample.name.endswith("_count"))
    }
    assert counted == {
        ("GET", "/tasks/{task_id}", "404"),
        ("GET", "/healthz", "200"),
        ("GET", "unmatched", "404"),
        ("_OTHER", "/tasks", "405"),
        ("GET", "/agents", "401"),
    }


def test_the_page_of_operations_brings_no_script_and_asks_nobody_else(api):
    response = api.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    assert "<script" not in response.text
    assert "http://" not in response.text
    assert "https://" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


def test_the_documentation_page_lists_every_operation(api):
    page = api.get("/docs").text
    for path, operations in api.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            assert f"{method.upper()} {path}" in page
            assert operation["summary"] in page.replace("&#x27;", "'")


def test_operations_have_names_that_a_client_can_use(api):
    operations = [
        operation["operationId"]
        for path in api.get("/openapi.json").json()["paths"].values()
        for operation in path.values()
    ]
    assert {"submit_task", "list_tasks", "get_task", "cancel_task", "retry_task", "follow_task"} <= set(operations)
    assert len(operations) == len(set(operations))
