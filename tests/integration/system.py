"""A running service for tests: a real Valkey, the API, workers, and a receiver of traces, each a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

API_KEY = "as_test-key-of-forty-three-characters-000000000"
WAIT_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Return the first true value of `condition`, or fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class TraceReceiver:
    """An OTLP/HTTP endpoint that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                receiver._keep(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _keep(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        {
                            "service": service,
                            "trace_id": span.trace_id.hex(),
                            "span_id": span.span_id.hex(),
                            "parent_id": span.parent_span_id.hex() or None,
                            "name": span.name,
                            "kind": span.kind,
                            "error": span.status.code == 2,
                            "links": [link.span_id.hex() for link in span.links],
                            "attributes": {a.key: a.value.string_value or a.value.int_value for a in span.attributes},
                        }
                    )

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        return [span for span in list(self.spans) if span["trace_id"] == trace_id]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class System:
    """The service as its clients see it."""

    def __init__(self, redis_url: str, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.traces = TraceReceiver()
        self.api_port, self.metrics_port = free_port(), free_port()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "REDIS_"))},
            "REDIS_URL": redis_url,
            "API_PORT": str(self.api_port),
            "METRICS_PORT": str(self.metrics_port),
            "API_KEYS_SHA256": f"test:{hashlib.sha256(API_KEY.encode()).hexdigest()}",
            "FAULT_AGENTS": "true",
            "LOG_DIR": str(folder / "log"),
            "WORKER_HEARTBEAT_SECONDS": "1",
            "WORKER_STOP_SECONDS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.traces.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            **settings,
        }
        (folder / "log").mkdir(parents=True, exist_ok=True)
        self._processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.api: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.api_port}", headers={"X-API-Key": API_KEY}, timeout=30
        )

    # Processes

    def run(self, *argv: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{argv[0]}-{len(self._processes)}.out").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "agent_service", *argv],
            env={**self.environment, **environment},
            cwd=self.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        self._processes.append(process)
        return process

    def start_api(self) -> None:
        self.api = self.run("api")
        wait_until(self._api_answers, "the API answers")

    def _api_answers(self) -> bool:
        assert self.api is not None
        assert self.api.poll() is None, self.output()
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def start_worker(self, queue: str = "default", **environment: str) -> subprocess.Popen[bytes]:
        before = len(self.worker_records())
        process = self.run("worker", "--queue", queue, **environment)
        self.workers.append(process)

        def registered() -> bool:
            assert process.poll() is None, self.output()
            return len(self.worker_records()) > before

        wait_until(registered, "the worker is registered")
        return process

    def output(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in sorted(self.folder.glob("*.out")))

    def child_of(self, worker: subprocess.Popen[bytes]) -> int:
        """Return the pid of the worker's child."""

        def child() -> int | None:
            pids = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
            return int(pids[0]) if pids else None

        return int(wait_until(child, "the worker has a child"))

    def stop(self, process: subprocess.Popen[bytes], seconds: float = 30) -> int:
        process.send_signal(signal.SIGTERM)
        return process.wait(seconds)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait(10)
        self.http.close()
        self.traces.close()

    # The API

    def worker_records(self) -> list[dict[str, Any]]:
        return list(self.http.get("/workers").raise_for_status().json())

    def submit(self, agent: str, options: dict[str, Any] | None = None, **payload: Any) -> dict[str, Any]:
        response = self.http.post("/tasks", json={"agent": agent, "input": payload, "options": options or {}})
        assert response.status_code == 202, response.text
        return dict(response.json())

    def task(self, task: dict[str, Any] | str) -> dict[str, Any]:
        task_id = task if isinstance(task, str) else task["id"]
        return dict(self.http.get(f"/tasks/{task_id}").raise_for_status().json())

    def wait_for(self, task: dict[str, Any] | str, *statuses: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            now = self.task(task)
            return now if now["status"] in statuses else None

        return dict(wait_until(reached, f"the task is {' or '.join(statuses)}: {task}", seconds))

    # Signals

    def samples(self, name: str, **labels: str) -> list[float]:
        """Return the values of a metric over the API and every worker, labels matched."""
        ports = [f"127.0.0.1:{self.metrics_port}"]
        found = []
        targets = httpx.get(f"http://127.0.0.1:{self.metrics_port}/sd/workers").raise_for_status().json()
        for target in [*ports, *(target for group in targets for target in group["targets"])]:
            text = httpx.get(f"http://{target}/metrics").raise_for_status().text
            for family in text_string_to_metric_families(text):
                found += [
                    sample.value
                    for sample in family.samples
                    if sample.name == name and labels.items() <= sample.labels.items()
                ]
        return found

    def metric(self, name: str, **labels: str) -> float:
        return sum(self.samples(name, **labels))

    def log_lines(self) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for path in sorted((self.folder / "log").glob("*.json*"))
            for line in path.read_text().splitlines()
        ]
