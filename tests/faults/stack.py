"""The whole stack with times a tenth as long, whose alerts reach a receiver in the test's own process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from agent_service.telemetry.contract import LOG_DATA_STREAM
from stack.env_file import new_env
from stack.scaled import write_scaled
from tests.stack.project import API_KEY, CLONE, PORTS, REPOSITORY, Project

FACTOR = float(os.environ.get("FAULT_TEST_FACTOR", "0.1"))
"""Larger on a machine that has much else to do: a scrape that takes longer than a second fails at 0.1."""
PROJECT = f"agents-faults-{CLONE}"
RECEIVER_HOST = "receiver.test"
FOLLOW_LOGS = """
import glob, time
read = {}
while True:
    for name in sorted(glob.glob('/var/log/agents/*.json')):
        with open(name, encoding='utf-8') as file:
            file.seek(read.get(name, 0))
            while (line := file.readline()).endswith('\\n'):
                print(line, end='', flush=True)
                read[name] = file.tell()
    time.sleep(0.2)
"""
"""Prints every line of the log files, and goes on with those to come."""


class Receiver:
    """A webhook, as a team would have one: takes what Alertmanager sends, and notes when."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, dict[str, Any]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.calls.append((time.time(), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((_bridge_address(), 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{RECEIVER_HOST}:{self._server.server_port}/alerts"

    def heard(self, since: float, status: str, labels: Mapping[str, str]) -> float | None:
        """Return when an alert with these labels was first told after a moment, as firing or as resolved."""
        for at, call in list(self.calls):
            if at >= since and any(
                alert["status"] == status and labels.items() <= alert["labels"].items() for alert in call["alerts"]
            ):
                return at
        return None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _bridge_address() -> str:
    """Return the machine's address on the engine's own bridge: containers reach it, and nobody from outside."""
    template = "{{(index .IPAM.Config 0).Gateway}}"
    shown = subprocess.run(
        ["docker", "network", "inspect", "--format", template, "bridge"], capture_output=True, text=True, check=True
    )
    return shown.stdout.strip()


class FaultyStack(Project):
    """A compose project with scaled rules, and the commands of the product."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.folder = folder
        self.receiver = receiver
        write_scaled(folder / "scaled", FACTOR, quiet_hours=False)
        # `host-gateway` is the address that the receiver listens on.
        overlay = {"services": {"alertmanager": {"extra_hosts": [f"{RECEIVER_HOST}:host-gateway"]}}}
        (folder / "receiver.yml").write_text(json.dumps(overlay))
        files = (REPOSITORY / "docker-compose.yml", folder / "scaled" / "docker-compose.yml", folder / "receiver.yml")
        settings = {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_FILE": ":".join(map(str, files)),
            "AGENT_IMAGE": f"agent-service:test-{CLONE}",
            "LOG_ALERTS_IMAGE": f"log-alerts:test-{CLONE}",
            "SECRETS_DIR": str(folder / "secrets"),
            "ALERT_WEBHOOK_URL": receiver.url,
            "FAULT_AGENTS": "true",
            "WORKER_REPLICAS": "2",
            **dict(zip(PORTS.values(), _free_ports(len(PORTS)), strict=True)),
        }
        (folder / "env").write_text(new_env(API_KEY) + "".join(f"{name}={value}\n" for name, value in settings.items()))
        (folder / ".env").symlink_to("env")
        super().__init__(folder)
        self.outside = {name: value for name, value in os.environ.items() if name not in self.values}

    # The product's commands

    def run(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `agent-service` with this stack's settings to its end."""
        return subprocess.run(
            [sys.executable, "-m", "agent_service", *words],
            cwd=self.folder, env=self.outside, capture_output=True, text=True, timeout=seconds,
        )  # fmt: skip

    def fault(self, name: str, *, seconds: float = 600) -> Fault:
        """Start a fault by the command that `make fault` runs."""
        words = ("stack", "--env-file", str(self.folder / ".env"), "fault", name)
        return Fault(
            subprocess.Popen(
                [sys.executable, "-m", *words, "--factor", str(FACTOR), "--seconds", str(seconds)],
                cwd=REPOSITORY, env=self.outside, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
        )  # fmt: skip

    # What its parts say

    def incident(self, since: float, labels: Mapping[str, str]) -> dict[str, Any] | None:
        """Return the incident with an alert of these labels that was opened after a moment."""
        text = self.api.get("/incidents/export").raise_for_status().text
        for incident in map(json.loads, text.splitlines()):
            if moment(incident["active_since"]) >= since and any(
                labels.items() <= alert["labels"].items() for alert in incident["alerts"]
            ):
                return dict(incident)
        return None

    def acknowledge_others(self, own: Iterable[Mapping[str, str]]) -> None:
        """Take every open incident that has no alert with one of these sets of labels, as a colleague would.

        One fault has several effects. As long as one incident of a severity waits for somebody, a later one of the same
        severity and team has no escalation of its own.
        """
        known = list(own)
        for incident in map(json.loads, self.api.get("/incidents/export").raise_for_status().text.splitlines()):
            labels = [alert["labels"] for alert in incident["alerts"]]
            # The severity may still rise.
            mine = any({*wanted.items()} - {("severity", "critical")} <= {*found.items()}
                       for wanted in known for found in labels)  # fmt: skip
            if incident["status"] == "open" and not mine:
                step = {"step": "acknowledged", "by": "colleague"}
                self.api.post(f"/incidents/{incident['id']}/steps", json=step)

    def rule(self, alert: str, severity: str) -> dict[str, Any]:
        """Return a rule as Prometheus has it."""
        answer = self.http.get(f"{self.url('prometheus')}/api/v1/rules", params={"rule_name[]": alert})
        rules = [rule for group in answer.raise_for_status().json()["data"]["groups"] for rule in group["rules"]]
        return next(rule for rule in rules if rule["labels"]["severity"] == severity)

    def first(self, expression: str, since: float) -> float | None:
        """Return the first second after a moment in which an expression has a value."""
        answer = self.http.get(
            f"{self.url('prometheus')}/api/v1/query_range",
            params={"query": expression, "start": since, "end": time.time(), "step": 0.5},
        )
        series = answer.raise_for_status().json()["data"]["result"]
        return min((float(line["values"][0][0]) for line in series), default=None)

    def active_since(self, selector: str, when: float) -> float:
        """Return since when an alert that fires has been pending or firing."""
        answer = self.http.get(
            f"{self.url('prometheus')}/api/v1/query",
            params={"query": f"ALERTS_FOR_STATE{{{selector}}}", "time": when},
        )
        return float(answer.raise_for_status().json()["data"]["result"][0]["value"][1])

    def follow_logs(self) -> subprocess.Popen[str]:
        """Start a program that prints the lines of the log files, and go on putting them into Elasticsearch.

        It stands in for Logstash where its image is no real one, with Logstash's user, stream and document ids.
        """
        follower = subprocess.Popen(
            ["docker", "compose", "--env-file", str(self.env_file), "exec", "-T", "api", "python", "-c", FOLLOW_LOGS],
            cwd=REPOSITORY, env=self.outside, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        threading.Thread(target=self._ship, args=(follower,), daemon=True).start()
        return follower

    def _ship(self, follower: subprocess.Popen[str]) -> None:
        assert follower.stdout is not None
        for line in follower.stdout:
            entry = json.loads(line)
            stream = {"data_stream": {"type": "logs", "dataset": "agents", "namespace": "default"}}
            action = {"create": {"_id": entry["event"]["id"]}}
            # Most are of no pattern: only those from a warning on are worth a request on a busy machine.
            if entry["log"]["level"] in {"warning", "error", "critical"}:
                body = f"{json.dumps(action)}\n{json.dumps(entry | stream)}\n"
                self.elastic("POST", f"/{LOG_DATA_STREAM}/_bulk", user="logstash_writer", lines=body)


class Fault:
    """A fault that was started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.began = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if " begins" in line:
                self.began.set()

    def end(self, seconds: float = 120) -> int:
        """End it as Ctrl-C does, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(seconds)


def moment(text: str) -> float:
    """Return the Unix time of a moment as the API writes it."""
    return datetime.fromisoformat(text).timestamp()


def _free_ports(count: int) -> Iterable[str]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [str(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
