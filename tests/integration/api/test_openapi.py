"""The OpenAPI document is kept to, whatever is sent."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from agent_service.api.app import create_app
from agent_service.settings import Settings
from tests.integration.api.clients import AUTHORIZED, live_api

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    ignored_auth,
]


DOCUMENT = create_app(Settings(redis_url="redis://127.0.0.1:1/0")).openapi()
schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def live(valkey_url):
    """Return a running API, for all the cases, and the id of a task in it."""
    with live_api(REDIS_URL=valkey_url) as running:
        yield running, running.submit()["id"]


@schema.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_documented(case, live):
    running, task_id = live
    case.call_and_validate(base_url=running.url, headers=AUTHORIZED, checks=_checks(case), timeout=20)
    if "task_id" in case.path_parameters and not case.operation.path.endswith("/events"):
        case.path_parameters["task_id"] = task_id
        case.call_and_validate(base_url=running.url, headers=AUTHORIZED, checks=_checks(case), timeout=20)


def _checks(case):
    if case.operation.path == "/readyz":  # no worker lives, so it is 503 that is right
        return [check for check in CHECKS if check is not not_a_server_error]
    return CHECKS


def _examples(path):
    content = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    return [example["value"] for example in content["examples"].values()]


def test_every_documented_example_is_accepted(api):
    tasks = _examples("/tasks")
    assert tasks
    for task in tasks:
        assert api.post("/tasks", json=task).status_code == 202
    for batch in DOCUMENT["components"]["schemas"]["Batch"]["properties"]["tasks"]["examples"]:
        results = api.post("/tasks/batch", json={"tasks": batch}).json()["results"]
        assert {result["status"] for result in results} == {202}
    for payload in _examples("/workflows/{workflow}"):
        assert api.post("/workflows/document-report", json=payload).status_code == 202
