"""An API in this process, and one in a process of its own."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio.from_thread
import httpx
from fastapi import FastAPI

from agent_service.api.services import Services
from tests.integration.system import free_port, wait_until

KEYS = {"ci": "key-of-ci", "ops": "key-of-ops"}
DIGESTS = {name: hashlib.sha256(key.encode()).hexdigest() for name, key in KEYS.items()}
AUTHORIZED = {"Authorization": f"Bearer {KEYS['ci']}"}
SAMPLE_AGENTS = "tests.integration.api.sample_agents"
ROOT = Path(__file__).parents[3]


class InProcessApi:
    """An application with its lifespan, called over ASGI from a test that is not async itself."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._portals = anyio.from_thread.start_blocking_portal()
        self._portal = self._portals.__enter__()
        self._lifespan = self._portal.wrap_async_context_manager(app.router.lifespan_context(app))
        self._lifespan.__enter__()
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://api",
            headers=AUTHORIZED,
        )

    @property
    def services(self) -> Services:
        return self.app.state.services

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            return await self._client.request(method, path, **arguments)

        return self._portal.call(send)

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("GET", path, **arguments)

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("POST", path, **arguments)

    def delete(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("DELETE", path, **arguments)

    def submit(self, agent: str = "measure", text: str = "some words", **options: Any) -> dict[str, Any]:
        response = self.post("/tasks", json={"agent": agent, "input": {"text": text}, "options": options})
        assert response.status_code == 202, response.text
        return dict(response.json())

    def close(self) -> None:
        self._portal.call(self._client.aclose)
        self._lifespan.__exit__(None, None, None)
        self._portals.__exit__(None, None, None)


class LiveApi:
    """An API in a process of its own."""

    def __init__(self, port: int, metrics_port: int, process: subprocess.Popen[bytes]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}"
        self.process = process
        self.client = httpx.Client(base_url=self.url, headers=AUTHORIZED, timeout=10)

    def is_up(self) -> bool:
        assert self.process.poll() is None, "the API ended by itself"
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def submit(self, text: str = "some words") -> dict[str, Any]:
        response = self.client.post("/tasks", json={"agent": "measure", "input": {"text": text}})
        assert response.status_code == 202, response.text
        return dict(response.json())

    def stop(self, seconds: float = 15.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextmanager
def live_api(**environment: str) -> Iterator[LiveApi]:
    port, metrics_port = free_port(), free_port()
    process = start_api(API_PORT=str(port), METRICS_PORT=str(metrics_port), **environment)
    api = LiveApi(port, metrics_port, process)
    try:
        wait_until(api.is_up, "the API answers")
        yield api
    finally:
        api.client.close()
        if process.poll() is None:
            process.kill()
        process.communicate()


def start_api(**environment: str) -> subprocess.Popen[bytes]:
    """Start an API process, whether it comes up or not."""
    code = (
        "import sys\n"
        "from agent_service.api.server import StartupError, serve\n"
        "from agent_service.settings import Settings\n"
        "try:\n"
        "    serve(Settings())\n"
        "except StartupError as error:\n"
        "    sys.exit(f'startup: {error}')\n"
    )
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH"}}
    python_path = os.pathsep.join(filter(None, [str(ROOT), inherited.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={
            **inherited,
            "PYTHONPATH": python_path,
            "API_KEYS_SHA256": ",".join(f"{name}:{digest}" for name, digest in DIGESTS.items()),
            "AGENT_MODULES": SAMPLE_AGENTS,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            **environment,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
