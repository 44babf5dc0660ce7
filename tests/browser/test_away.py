"""The console while the queue server is away."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import shoot, sign_in
from tests.conftest import start_valkey
from tests.integration.system import System


def test_an_open_page_tells_that_redis_is_away_and_goes_on_afterwards(chromium, tmp_path):
    server = start_valkey(tmp_path)
    system = System(f"{server.connection_url}/0", tmp_path / "system")
    context = chromium.new_context(base_url=f"http://127.0.0.1:{system.api_port}")
    try:
        system.start_api()
        page = context.new_page()
        sign_in(page, "/console/tasks")
        expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
        server.stop()
        expect(page.locator("#banner")).to_contain_text("The queue server does not answer", timeout=15_000)
        shoot(page, "redis-away-live")
        page.goto("/console/agents")
        expect(page.get_by_role("heading")).to_contain_text("The queue server does not answer")
        shoot(page, "redis-away")
        server.start()
        # It tries again by itself. The sessions went with a server that keeps nothing on disk.
        page.wait_for_url(re.compile("/console/sign-in"), timeout=20_000)
    finally:
        context.close()
        system.close()
        server.stop()
