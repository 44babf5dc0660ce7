"""Prometheus, Alertmanager and Jaeger join the embedded form where they are on the PATH."""

from __future__ import annotations

import json
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from agent_service.embedded.ports import free_port
from tests.integration.embedded.conftest import Installation, Up, wait_until

ROOT = Path(__file__).parents[3]
TOOLS = ("prometheus", "alertmanager", "jaeger")


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {tool: free_port("127.0.0.1") for tool in TOOLS}


@pytest.fixture(scope="module")
def up(lasting_installation: Installation, ports: dict[str, int]) -> Iterator[Up]:
    """A running system with all three."""
    for tool in TOOLS:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on the PATH")
        (lasting_installation.directory / tool).symlink_to(ROOT / tool)
    started = lasting_installation.start(
        EMBEDDED_TOOLS="true", **{f"{tool.upper()}_PORT": str(port) for tool, port in ports.items()}
    )
    started.wait_ready()
    yield started
    assert started.stop() == 0


def ask(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        return json.load(response)


def test_it_says_where_they_are(up: Up, ports: dict[str, int]) -> None:
    for tool, port in ports.items():
        assert f"http://127.0.0.1:{port}" in up.text
        assert f"  {tool} " in up.text


def test_a_tasks_trace_is_in_jaeger_and_its_link_leads_there(
    lasting_installation: Installation, up: Up, ports: dict[str, int]
) -> None:
    task_id = lasting_installation.submit_and_wait()
    values = dotenv_values(lasting_installation.directory / ".env")
    request = urllib.request.Request(
        f"http://127.0.0.1:{values['API_PORT']}/tasks/{task_id}", headers={"X-API-Key": str(values["API_KEY"])}
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        task = json.load(response)

    def spans() -> Any:
        traces = ask(ports["jaeger"], "/api/traces?service=agent-worker&limit=20")["data"]
        return [span for trace in traces or () for span in trace["spans"] if task_id in json.dumps(span["tags"])]

    wait_until(spans, "the trace is in Jaeger")
    assert task["links"]["jaeger"].startswith(f"http://127.0.0.1:{ports['jaeger']}/trace/{task['trace_id']}")


def test_prometheus_has_every_target_up_and_the_rules(up: Up, ports: dict[str, int]) -> None:
    def health() -> dict[str, str]:
        targets = ask(ports["prometheus"], "/api/v1/targets")["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in targets}

    jobs = {"agent-api", "agent-worker", "prometheus", "alertmanager", "jaeger", "jaeger-spans"}
    wait_until(lambda: set(health()) == jobs and set(health().values()) == {"up"}, "every target is up")
    groups = ask(ports["prometheus"], "/api/v1/rules")["data"]["groups"]
    assert "Watchdog" in {rule["name"] for group in groups for rule in group["rules"]}


def test_alerts_get_to_alertmanager(up: Up, ports: dict[str, int]) -> None:
    def names() -> set[str]:
        return {alert["labels"]["alertname"] for alert in ask(ports["alertmanager"], "/api/v2/alerts")}

    wait_until(lambda: "Watchdog" in names(), "Alertmanager has the Watchdog")


def test_one_whose_port_is_taken_is_left_out_and_the_rest_starts(installation: Installation) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not on the PATH")
    (installation.directory / "prometheus").symlink_to(ROOT / "prometheus")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = installation.start(EMBEDDED_TOOLS="true", PROMETHEUS_PORT=str(port))
        up.wait_ready()

    assert f"prometheus does not join in: port {port} on 127.0.0.1 is taken" in up.text
    assert "PROMETHEUS_PORT" in up.text
    assert dotenv_values(installation.directory / ".env")["EMBEDDED_TOOLS"] == "false"
    assert up.stop() == 0
