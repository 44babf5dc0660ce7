"""Fixtures of the console's tests: an API in this process and somebody in front of a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from agent_service.api.app import create_app
from agent_service.api.console.sessions import COOKIE
from agent_service.settings import Settings
from tests.integration.api.clients import DIGESTS, KEYS, SAMPLE_AGENTS, InProcessApi

OWN = {"Sec-Fetch-Site": "same-origin"}


class Browser:
    """Sends what a browser would, and keeps its cookie."""

    def __init__(self, api: InProcessApi) -> None:
        self.api = api
        self.cookie = ""

    def request(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        sent = {
            "Authorization": "",
            **({"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}),
            **(headers or {}),
        }
        return self.api.request(method, path, headers=sent, follow_redirects=False, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def send(self, path: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        """Send a form of the console: with the session's token, unless `csrf` says otherwise."""
        fields.setdefault("csrf", self.csrf())
        return self.request("POST", path, data=fields, headers={**OWN, **(headers or {})})

    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.get("/console/agents").text)
        return found[1] if found else ""

    def sign_in(self, key: str = KEYS["ci"], headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        response = self.request(
            "POST", "/console/sign-in", data={"key": key, **fields}, headers={**OWN, **(headers or {})}
        )
        found = re.search(rf"{COOKIE}=([^;]+)", response.headers.get("set-cookie", ""))
        self.cookie = found[1] if found else self.cookie
        return response


MakeBrowser = Callable[..., Browser]


@pytest.fixture
def make_browser(valkey_url, redis_client) -> Iterator[MakeBrowser]:
    """Return a function that starts an API with settings of the test's own, and a browser in front of it."""
    running: list[InProcessApi] = []

    def make(**changes: object) -> Browser:
        settings = Settings.model_validate(
            {"redis_url": valkey_url, "api_keys_sha256": DIGESTS, "agent_modules": (SAMPLE_AGENTS,), **changes}
        )
        running.append(InProcessApi(create_app(settings)))
        return Browser(running[-1])

    yield make
    for api in running:
        api.close()


@pytest.fixture
def stranger(make_browser) -> Browser:
    """Return a browser that is not signed in."""
    return make_browser()


@pytest.fixture
def browser(stranger) -> Browser:
    """Return a browser that is signed in."""
    assert stranger.sign_in().status_code == 303
    return stranger
