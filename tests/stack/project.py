"""The compose project under test, and everything that its parts can be asked."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.env_file import new_env, read_env
from stack.secret_files import write_secret_files

REPOSITORY = Path(__file__).parents[2]
CLONE = hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:6]
PROJECT = f"agents-test-{CLONE}"
"""Of this clone's own, so that two of them can be tested at once on one machine."""
API_KEY = "as_stack-test-key-of-forty-three-characters-00"
WAIT_SECONDS = 180.0
UP_SECONDS = 600.0
LOGS_RETENTION = "5d"

PORTS = {
    "api": "API_PORT",
    "grafana": "GRAFANA_PORT",
    "prometheus": "PROMETHEUS_PORT",
    "alertmanager": "ALERTMANAGER_PORT",
    "kibana": "KIBANA_PORT",
    "elasticsearch": "ELASTICSEARCH_PORT",
    "jaeger": "JAEGER_PORT",
}
"""Services with a published port, and the variable that names it."""
PROBES = {"cadvisor": 8080, "grafana": 3000, "kibana": 5601, "logstash": 9600, "logstash-exporter": 9115}
"""Ports inside the containers of those services for which an image may be a placeholder."""


def wait_until(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Return the first true value of `condition`, or fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.25)


class Project:
    """One compose project with ports, passwords and volumes of its own."""

    def __init__(self, folder: Path) -> None:
        self.env_file = folder / "env"
        if not self.env_file.exists():
            self._write_env(folder)
        self.values = read_env(self.env_file)
        self.ports = {service: int(self.values[variable]) for service, variable in PORTS.items()}
        write_secret_files(self.values, folder / "secrets")
        # A connection of its own for each request: one that is kept breaks when the container behind it is replaced.
        fresh = httpx.Limits(max_keepalive_connections=0)
        self.api = httpx.Client(base_url=self.url("api"), headers={"X-API-Key": API_KEY}, timeout=30, limits=fresh)
        self.http = httpx.Client(timeout=30, limits=fresh)

    def _write_env(self, folder: Path) -> None:
        settings = {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "AGENT_IMAGE": f"agent-service:test-{CLONE}",
            "LOG_ALERTS_IMAGE": f"log-alerts:test-{CLONE}",
            "SECRETS_DIR": str(folder / "secrets"),
            "FAULT_AGENTS": "true",
            "LOGS_RETENTION": LOGS_RETENTION,
            "WORKER_REPLICAS": "2",
            **{variable: str(port) for variable, port in zip(PORTS.values(), _free_ports(len(PORTS)), strict=True)},
        }
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        self.env_file.write_text(new_env(API_KEY) + lines)

    def close(self) -> None:
        self.api.close()
        self.http.close()

    # Compose

    def compose(self, *words: str, check: bool = True, seconds: float = UP_SECONDS) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["docker", "compose", "--env-file", str(self.env_file), *words],
            cwd=REPOSITORY,
            # What the caller has set must not win over the project's own file.
            env={name: value for name, value in os.environ.items() if name not in self.values},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{' '.join(words)}: {done.stderr[-3000:]}"
        return done

    def up(self) -> None:
        done = self.compose("up", "--wait", check=False)
        assert done.returncode == 0, f"{done.stderr[-2000:]}\n{self.compose('ps', '-a').stdout}"

    def restart(self, service: str) -> None:
        """Restart a service and wait until it is healthy again."""
        self.compose("restart", service)
        wait_until(lambda: self.is_healthy(service), f"{service} is healthy again", UP_SECONDS)

    def execute(self, service: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.compose("exec", "-T", service, *command, check=check)

    @cached_property
    def configuration(self) -> dict[str, Any]:
        return dict(json.loads(self.compose("config", "--format", "json").stdout))

    def containers(self) -> list[dict[str, Any]]:
        lines = self.compose("ps", "-a", "--format", "json").stdout.splitlines()
        return [json.loads(line) for line in lines]

    def is_healthy(self, service: str) -> bool:
        mine = [container for container in self.containers() if container["Service"] == service]
        return bool(mine) and all(container["Health"] == "healthy" for container in mine)

    def inspections(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the service and the inspection of each container."""
        ids = [container["ID"] for container in self.containers()]
        shown = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True)
        for inspection in json.loads(shown.stdout):
            yield inspection["Config"]["Labels"]["com.docker.compose.service"], inspection

    def is_placeholder(self, service: str) -> bool:
        """Return whether an image that can do nothing stands in for the service's own; it says so in a header."""
        if service not in PROBES:
            return False
        url = f"http://127.0.0.1:{PROBES[service]}/"
        done = self.execute(service, "sh", "-c", f"curl -sI {url} || wget -S -q -O /dev/null {url}", check=False)
        return "x-lab-placeholder: 1" in (done.stdout + done.stderr).lower()

    def require_real(self, service: str) -> None:
        """Skip the test where a placeholder runs."""
        if self.is_placeholder(service):
            pytest.skip(f"a placeholder stands in for the image of {service}")

    # The parts

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def submit(self, agent: str, options: Mapping[str, Any] | None = None, **payload: Any) -> dict[str, Any]:
        response = self.api.post("/tasks", json={"agent": agent, "input": payload, "options": dict(options or {})})
        assert response.status_code == 202, response.text
        return dict(response.json())

    def task(self, task: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.api.get(f"/tasks/{task['id']}").raise_for_status().json())

    def wait_for(self, task: Mapping[str, Any], *statuses: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            now = self.task(task)
            return now if now["status"] in statuses else None

        return dict(wait_until(reached, f"the task is {' or '.join(statuses)}: {task}"))

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what Prometheus finds for an expression."""
        answer = self.http.get(f"{self.url('prometheus')}/api/v1/query", params={"query": expression})
        return list(answer.raise_for_status().json()["data"]["result"])

    def elastic(
        self, method: str, path: str, user: str = "elastic", body: Any = None, lines: str | None = None
    ) -> httpx.Response:
        """Ask Elasticsearch as one of its users, with a JSON body or with lines of JSON."""
        return self.http.request(
            method,
            f"{self.url('elasticsearch')}{path}",
            headers={
                **basic(user, self.values[f"{user.upper()}_PASSWORD"]),
                "Content-Type": "application/json" if lines is None else "application/x-ndjson",
            },
            content=lines if lines is not None else json.dumps(body) if body is not None else None,
        )

    def count(self, target: str, query: Mapping[str, Any]) -> int:
        """Return how many documents match, the newest ones included."""
        self.elastic("POST", f"/{target}/_refresh?ignore_unavailable=true").raise_for_status()
        answer = self.elastic("POST", f"/{target}/_count?ignore_unavailable=true", body={"query": query})
        return int(answer.raise_for_status().json()["count"])

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """Return the spans of a trace as Jaeger finds them, each with its `service` and its `parent`."""
        answer = self.http.get(f"{self.url('jaeger')}/api/traces/{trace_id}")
        if answer.status_code == 404:
            return []
        traces = answer.raise_for_status().json()["data"] or []
        return [
            {
                "id": span["spanID"],
                "name": span["operationName"],
                "service": trace["processes"][span["processID"]]["serviceName"],
                "parent": next((r["spanID"] for r in span["references"] if r["refType"] == "CHILD_OF"), None),
                "tags": {tag["key"]: tag["value"] for tag in span["tags"]},
            }
            for trace in traces
            for span in trace["spans"]
        ]

    def log_lines(self) -> list[dict[str, Any]]:
        """Return every line of the shared log files."""
        text = self.execute("worker", "sh", "-c", "cat /var/log/agents/*.json*").stdout
        return [json.loads(line) for line in text.splitlines()]


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of basic authentication."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
