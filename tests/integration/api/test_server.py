"""The API as a process: its ports, its start, its end, and the trace of a request."""

import socket

import httpx
import pytest

from tests.integration.api.clients import live_api, start_api
from tests.integration.system import free_port, wait_until


def spans_of(live, task_id):
    return live.client.get(f"/tasks/{task_id}/spans").json()


def test_a_submission_is_one_server_span_with_the_producer_below(live):
    task = live.submit()
    wait_until(lambda: len(spans_of(live, task["id"])) >= 2, "the spans are kept")
    spans = spans_of(live, task["id"])
    assert sorted((span["kind"].lower(), span["name"]) for span in spans) == [
        ("producer", "send default"),
        ("server", "POST /tasks"),
    ]
    server, producer = sorted(spans, key=lambda span: span["name"])
    assert producer["parent_id"] == server["span_id"]
    assert {span["trace_id"] for span in spans} == {task["trace_id"]}


def test_a_callers_trace_is_continued(live):
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    body = {"agent": "measure", "input": {"text": "x"}}
    assert live.client.post("/tasks", json=body, headers=headers).json()["trace_id"] == trace_id


def test_a_problem_names_the_trace_of_its_request(live):
    assert len(live.client.get("/tasks/none").json()["trace_id"]) == 32


def test_what_prometheus_reads_is_not_on_the_public_port(live):
    assert live.client.get("/metrics").status_code == 404
    assert live.client.get("/sd/workers").status_code == 404
    page = httpx.get(f"{live.metrics_url}/metrics")
    assert page.status_code == 200
    assert 'agent_queue_tasks{queue="default",state="queued"} 0' in page.text
    assert httpx.get(f"{live.metrics_url}/sd/workers").json() == []
    assert httpx.get(f"{live.metrics_url}/healthz").status_code == 200


def test_the_api_starts_and_is_seen_without_redis():
    with live_api(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0") as live:
        assert live.client.get("/readyz").status_code == 503
        assert httpx.get(f"{live.metrics_url}/metrics").status_code == 200
        assert httpx.get(f"{live.metrics_url}/sd/workers").status_code == 503
        assert live.stop() == 0


def test_a_process_that_is_told_to_stop_ends_well(live):
    live.submit()
    assert live.stop() == 0


def outcome(**environment):
    """Return the last line of an API that does not come up."""
    process = start_api(**environment)
    _, output = process.communicate(timeout=30)
    assert process.returncode == 1
    return output.decode().strip().splitlines()[-1]


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield str(taken.getsockname()[1])


def test_a_taken_port_is_one_clear_line(valkey_url, taken_port):
    ports = {"API_PORT": "0", "METRICS_PORT": "0"}
    for name in ports:
        line = outcome(REDIS_URL=valkey_url, **{**ports, name: taken_port})
        assert line.startswith("startup: ")
        assert taken_port in line


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"REDIS_URL": ""}, "REDIS_URL"),
        ({"REDIS_URL": "mysql://here"}, "REDIS_URL"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0", "API_KEYS_SHA256": ""}, "API_KEYS_SHA256"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0", "AGENT_MODULES": "no.such.module"}, "no.such.module"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_clear_line(environment, word):
    line = outcome(API_PORT="0", METRICS_PORT="0", **environment)
    assert line.startswith("startup: ")
    assert word in line
