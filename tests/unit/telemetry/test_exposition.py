"""The internal port."""

import urllib.error
import urllib.request

import pytest

from agent_service.telemetry import contract
from agent_service.telemetry.exposition import ExpositionServer, PortTakenError
from agent_service.telemetry.metrics import Metrics


@pytest.fixture
def server():
    metrics = Metrics()
    metrics.count(contract.TASKS_SUBMITTED, agent="a", queue="q")
    made = ExpositionServer("127.0.0.1", 0, metrics, {"/sd/workers": lambda: (200, "application/json", b"[]")})
    made.start()
    yield made
    made.stop()


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}") as response:
        return response.headers["Content-Type"], response.read()


def test_metrics_and_further_routes_are_served(server):
    assert b"agent_tasks_submitted_total" in get(server, "/metrics")[1]
    assert get(server, "/sd/workers?x=1") == ("application/json", b"[]")


def test_another_path_is_not_found(server):
    with pytest.raises(urllib.error.HTTPError, match="404") as raised:
        get(server, "/")
    raised.value.close()


def test_a_taken_port_is_one_clear_line(server):
    with pytest.raises(PortTakenError, match=rf"port {server.port} on 127.0.0.1 is taken .* METRICS_PORT"):
        ExpositionServer("127.0.0.1", server.port, Metrics())
