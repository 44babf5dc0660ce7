"""The OpenAPI document is kept to for alerts and incidents, whatever is sent, by those who may send it."""

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from agent_service.api.app import create_app
from agent_service.settings import Settings
from tests.integration.api.clients import AUTHORIZED, live_api
from tests.integration.api.test_openapi import CHECKS
from tests.integration.incidents.conftest import FROM_ALERTMANAGER, TOKEN_DIGEST
from tests.unit.incidents.alerts import payload

DOCUMENT = create_app(Settings(redis_url="redis://127.0.0.1:1/0")).openapi()
schema = schemathesis.openapi.from_dict(DOCUMENT).include(path_regex="^/(alerts|incidents)")


@pytest.fixture(scope="module")
def live(valkey_url):
    """Return a running API, for all the cases, and the id of an incident in it."""
    with live_api(REDIS_URL=valkey_url, ALERTS_TOKEN_SHA256=TOKEN_DIGEST) as running:
        taken = httpx.post(f"{running.url}/alerts", json=payload(), headers=FROM_ALERTMANAGER).raise_for_status()
        yield running, taken.json()["effects"][0]["incident_id"]


@schema.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_documented(case, live):
    running, incident_id = live
    headers = FROM_ALERTMANAGER if case.operation.path == "/alerts" else AUTHORIZED
    case.call_and_validate(base_url=running.url, headers=headers, checks=CHECKS, timeout=20)
    if "incident_id" in case.path_parameters:
        case.path_parameters["incident_id"] = incident_id
        case.call_and_validate(base_url=running.url, headers=headers, checks=CHECKS, timeout=20)
