"""The page while thousands of tasks run."""

from __future__ import annotations

import time

from playwright.sync_api import expect

from tests.integration.system import wait_until

TASKS = 5_000
BATCH = 1_000
LAG_SECONDS = 2.0
PROBES = 8
GROWTH_BYTES = 8 * 1024 * 1024


def heap(session) -> float:
    session.send("HeapProfiler.collectGarbage")
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "JSHeapUsedSize")


def test_the_page_stays_small_and_up_to_date_while_5000_tasks_run(make_page, console):
    system = console.system
    page = make_page(path="/console/tasks")
    overview = make_page()
    expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    before = heap(session)
    began = time.monotonic()
    for _ in range(TASKS // BATCH):
        tasks = [{"agent": "fault-sleep", "input": {"seconds": 0.02}}] * BATCH
        results = system.http.post("/tasks/batch", json={"tasks": tasks}).raise_for_status().json()["results"]
        assert {result["status"] for result in results} == {202}
    lags = [probe(page, system) for _ in range(PROBES)]
    wait_until(lambda: not system.http.get("/tasks?status=queued&limit=1").json()["tasks"], "all are done", 120)
    after = heap(session)
    took, middle = time.monotonic() - began, sorted(lags)[len(lags) // 2]
    print(f"\n{TASKS} tasks in {took:.1f} s; lag {max(lags):.2f} s at most, {middle:.2f} s in the middle")
    print(f"heap {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after")
    assert max(lags) < LAG_SECONDS
    assert after - before < GROWTH_BYTES
    assert page.locator("tbody tr").count() <= 50
    expect(overview.locator("#pulse")).to_have_attribute("data-state", "live")


def probe(page, system) -> float:
    """Return how long it takes until the page shows a task that was just accepted."""
    task = system.submit("fault-sleep", seconds=0, options={"priority": "high"})
    began = time.monotonic()
    page.wait_for_selector(f"#t-{task['id']}", state="attached")
    return time.monotonic() - began
