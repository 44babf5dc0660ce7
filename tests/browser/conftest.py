"""The console in a real browser, in front of a service with an API, workers and a Valkey of its own."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.integration.system import API_KEY, System
from tests.unit.incidents.alerts import alert, payload

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
ARTEFACTS = Path(__file__).parents[2] / "var" / "test-artefacts"
ALERTS_TOKEN = "at_test-token"
WAIT_MS = 20_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say in one line why nothing is tested where there is no browser."""
    if not CHROMIUM:
        for item in items:
            if "tests/browser" in item.path.as_posix():
                item.add_marker(pytest.mark.skip(reason="no chromium is found on the PATH"))


class Console:
    """The service, as somebody at a browser and somebody at a terminal reach it."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.url = f"http://127.0.0.1:{system.api_port}"

    def failed_task(self, message: str = "it fails on purpose") -> str:
        task = self.system.submit("fault-fail", message=message)
        self.system.wait_for(task, "failed")
        return str(task["id"])

    def fire(self, name: str, **labels: str) -> str:
        """Let an alert fire and return the id of its incident."""
        body = payload(alert(name, alertname=name, **labels), group=name)
        headers = {"Authorization": f"Bearer {ALERTS_TOKEN}"}
        response = self.system.http.post("/alerts", json=body, headers=headers).raise_for_status()
        return str(response.json()["effects"][0]["incident_id"])


@pytest.fixture(scope="session")
def console(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The service, for all tests."""
    system = System(
        valkey_url,
        tmp_path_factory.mktemp("console"),
        ALERTS_TOKEN_SHA256=hashlib.sha256(ALERTS_TOKEN.encode()).hexdigest(),
    )
    try:
        system.start_api()
        system.start_worker()
        system.start_worker()
        yield Console(system)
    finally:
        system.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser, for all tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watch:
    """Notes what a page asks for and what goes wrong in it."""

    def __init__(self, page: Page) -> None:
        self.urls: list[str] = []
        self.faults: list[str] = []
        page.on("request", lambda request: self.urls.append(request.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        # That an answer was a refusal is what some tests are about; a breach of the content policy is a fault.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(message.text)


MakePage = Callable[..., Page]


@pytest.fixture
def make_page(chromium: Browser, console: Console) -> Iterator[MakePage]:
    """Return a function that opens a page of a visitor of its own; what goes wrong in it fails the test."""
    contexts: list[tuple[BrowserContext, Watch]] = []

    def make(*, signed_in: bool = True, path: str = "/", **options: Any) -> Page:
        context = chromium.new_context(base_url=console.url, viewport={"width": 1360, "height": 900}, **options)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        contexts.append((context, Watch(page)))
        if signed_in:
            sign_in(page, path)
        return page

    yield make
    faults = [fault for _, watch in contexts for fault in watch.faults]
    foreign = [url for _, watch in contexts for url in watch.urls if not url.startswith(console.url)]
    for context, _ in contexts:
        context.close()
    assert faults == []
    assert foreign == []


@pytest.fixture
def page(make_page: MakePage) -> Page:
    """A page of somebody who is signed in."""
    return make_page()


def sign_in(page: Page, path: str = "/") -> None:
    """Sign in, from the page that was asked for, and be led back there."""
    page.goto(path)
    page.get_by_label("API key").fill(API_KEY)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/console/sign-in" not in url)


def shoot(page: Page, name: str) -> None:
    """Leave a picture of a page for people to look at."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)
