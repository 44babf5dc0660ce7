"""What holds for every page: it is accessible, small, readable on a phone, and asks nobody else for anything."""

from __future__ import annotations

import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import shoot

WEIGHT_LIMIT = 150_000
FIRST_PAINT_MS = 1_000
PAGES = {
    "overview": "/",
    "tasks": "/console/tasks",
    "task": "/console/tasks/{failed}",
    "workflow": "/console/workflows/{workflow}",
    "submit-choose": "/console/submit",
    "submit-agent": "/console/submit?agent=summarizer",
    "agents": "/console/agents",
    "agent": "/console/agents/planner",
    "workers": "/console/workers",
    "dead-letters": "/console/dead-letters",
    "incidents": "/console/incidents",
    "incident": "/console/incidents/{incident}",
    "runbooks": "/runbooks",
    "runbook": "/runbooks/NoWorkerAlive",
}


@pytest.fixture(scope="module")
def seen(console):
    """Return the ids of a failed task, a finished workflow and an open incident."""
    body = {"title": "Notes", "text": "# Queue\n\nValkey keeps the queue. Workers take tasks from it."}
    workflow = console.system.http.post("/workflows/document-report", json=body).raise_for_status().json()["id"]
    return {"failed": console.failed_task(), "workflow": workflow, "incident": console.fire("QueueGrowing")}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_small(make_page, seen, name, scheme):
    page = make_page(color_scheme=scheme)
    weights: list[int] = []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.dataReceived", lambda event: weights.append(event["encodedDataLength"] or event["dataLength"]))
    page.goto(PAGES[name].format(**seen))
    if page.locator("body[data-live]").count():
        expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    weight = sum(weights)  # the first events included
    results = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
    shoot(page, f"{name}-{scheme}")
    assert results.violations_count == 0, results.generate_report()
    print(f"{name}: {weight / 1000:.0f} kB")
    assert 5_000 < weight <= WEIGHT_LIMIT
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    assert painted < FIRST_PAINT_MS


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(make_page, seen, name):
    page = make_page(has_touch=True)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(PAGES[name].format(**seen))
    shoot(page, f"{name}-phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_console_is_used_by_keyboard_alone(make_page, console):
    page = make_page()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    names = []
    for _ in range(9):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert names[1:] == [
        "Overview",
        "Tasks",
        "Submit",
        "Agents",
        "Workers",
        "Dead letters",
        "Incidents",
        "Runbooks",
    ]
    page.get_by_role("link", name="Submit").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="planner").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Text").focus()
    page.keyboard.type("By keyboard.")
    page.get_by_role("button", name="Submit").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1 .state")).to_have_text("finished")


def test_focus_and_choices_outlast_an_update(page, console):
    page.goto("/console/tasks")
    task = console.system.submit("fault-sleep", seconds=20)
    row = page.locator(f"#t-{task['id']}")
    link = row.get_by_role("link").first
    link.focus()
    for _ in range(3):
        newer = console.system.submit("fault-sleep", seconds=0)
        expect(page.locator(f"#t-{newer['id']} .state.finished")).to_be_visible()
    expect(link).to_be_focused()
    console.system.http.delete(f"/tasks/{task['id']}").raise_for_status()
    expect(row.locator(".state")).to_have_text("stopped")


def test_a_lost_connection_is_told_and_mended(make_page, console):
    page = make_page(path="/console/tasks")
    pulse, banner = page.locator("#pulse"), page.locator("#banner")
    expect(pulse).to_have_attribute("data-state", "live")
    page.context.set_offline(True)
    page.evaluate("window.dispatchEvent(new Event('online'))")  # makes it connect anew at once
    expect(banner).to_contain_text("connection to the server is lost")
    page.context.set_offline(False)
    expect(pulse).to_have_attribute("data-state", "live")
    expect(banner).to_be_hidden()
    task = console.system.submit("fault-sleep", seconds=0)
    expect(page.locator(f"#t-{task['id']} .state.finished")).to_be_visible()


def test_charts_are_drawn(page):
    expect(page.locator("figure canvas")).to_have_count(6)
    expect(page.locator("#chart-host .key").first).to_contain_text("%")


def test_an_update_reaches_the_overview(page, console):
    before = time.monotonic()
    task = console.system.submit("fault-sleep", seconds=8)
    expect(page.locator(".tile", has_text="Throughput")).not_to_contain_text(" 0 running")
    assert time.monotonic() - before < 6
    console.system.http.delete(f"/tasks/{task['id']}").raise_for_status()
