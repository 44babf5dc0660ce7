"""The internal port."""

import http.client
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing

import pytest

from agent_service.telemetry import contract
from agent_service.telemetry.exposition import ExpositionServer, PortTakenError
from agent_service.telemetry.metrics import Metrics


def broken():
    raise RuntimeError("no such luck")


@pytest.fixture
def server():
    metrics = Metrics()
    metrics.count(contract.TASKS_SUBMITTED, agent="a", queue="q")
    routes = {"/sd/workers": lambda: (200, "application/json", b"[]"), "/broken": broken}
    made = ExpositionServer("127.0.0.1", 0, metrics, routes)
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


def test_a_route_that_fails_is_an_error_to_its_client_and_a_line_in_the_log(server, caplog):
    with pytest.raises(urllib.error.HTTPError, match="500") as raised:
        get(server, "/broken")
    raised.value.close()
    assert "/broken cannot be shown" in caplog.text
    assert "no such luck" in caplog.text


def test_a_version_that_is_no_number_gets_plain_text(server):
    with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as client:
        client.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text;version=abc"})
        answer = client.getresponse()
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain")


def test_one_connection_serves_scrape_after_scrape_without_a_wait_for_its_acknowledgement(server):
    # Head and body leave as two packets. Held back by Nagle's algorithm, the second waits for a delayed ACK of 40 ms.
    with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as client:
        began = time.monotonic()
        for _ in range(20):
            client.request("GET", "/metrics")
            assert client.getresponse().read()
        assert time.monotonic() - began < 0.5


def test_a_client_that_hangs_up_leaves_no_stack_trace_behind(server, capfd):
    client = socket.create_connection(("127.0.0.1", server.port))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
    client.sendall(b"GET /metrics HTTP/1.1\r\n")
    client.close()
    assert get(server, "/metrics")
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(5)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="the machine has no IPv6")
def test_it_listens_on_ipv6_too():
    server = ExpositionServer("::1", 0, Metrics())
    server.start()
    try:
        with urllib.request.urlopen(f"http://[::1]:{server.port}/metrics") as response:
            assert response.status == 200
    finally:
        server.stop()
