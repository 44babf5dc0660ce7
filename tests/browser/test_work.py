"""What somebody does in the console, from the first task to an incident."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import shoot, sign_in

SCRIPT = "<script>document.title = 'attacked'</script><img src=x onerror=\"document.title='attacked'\">"


def test_a_task_is_submitted_through_the_form_and_watched_to_its_end(page):
    page.goto("/console/submit")
    page.get_by_role("link", name="fault-sleep").click()
    page.locator("#f-input-seconds").fill("2.5")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Submitted. The page follows it.")).to_be_visible()
    state = page.locator("h1 .state")
    expect(state).to_have_text("started")
    expect(page.locator(".progress progress")).to_be_visible()
    expect(state).to_have_text("finished")
    waterfall = page.locator(".waterfall")
    expect(waterfall.get_by_text("invoke_agent fault-sleep")).to_be_visible()
    expect(waterfall.locator("svg rect").last).to_be_visible()
    expect(page.locator(".log")).to_contain_text("task finished")
    shoot(page, "task")


def test_what_does_not_fit_is_shown_at_its_field(page):
    page.goto("/console/submit?agent=fault-log")
    page.locator("#f-input-extra").fill("{no json")
    page.get_by_role("button", name="Submit").click()
    fault = page.locator(".field-fault")
    expect(fault).to_contain_text("This is no JSON")
    expect(page.locator("#f-input-extra")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#f-input-extra")).to_have_value("{no json")
    shoot(page, "submit")


def test_a_workflow_is_followed_to_its_result(page):
    page.goto("/console/submit?workflow=document-report")
    page.get_by_label("Text").fill("# Queue\n\nValkey keeps the queue. Workers take tasks from it.")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("h1 .state")).to_have_text("finished")
    expect(page.locator("#h-result + .document")).to_contain_text("Valkey keeps the queue.")
    shoot(page, "workflow")


def test_a_running_task_is_stopped(page, console):
    task = console.system.submit("fault-sleep", seconds=60)
    console.system.wait_for(task, "started")
    page.goto(f"/console/tasks/{task['id']}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("h1 .state")).to_have_text("stopped")


def test_dead_letters_are_inspected_retried_and_dropped(page, console):
    first, second = console.failed_task("first of them"), console.failed_task("second of them")
    page.goto("/console/dead-letters")
    page.locator(f"#t-{first}").get_by_role("link").first.click()
    expect(page.locator(".strip.bad")).to_contain_text("first of them")
    page.go_back()
    page.locator(f"#t-{first} input").check()
    # A choice outlasts the page's being brought up to date.
    third = console.failed_task("third of them")
    expect(page.locator(f"#t-{third}")).to_be_visible()
    expect(page.locator(f"#t-{first} input")).to_be_checked()
    expect(page.locator(f"#t-{third} input")).not_to_be_checked()
    shoot(page, "dead-letters")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("In their queues again")).to_be_visible()
    console.system.wait_for(first, "failed")
    assert console.system.task(first)["attempts"] == 2

    page.locator(f"#t-{second} input").check()
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Drop").click()
    assert console.system.task(second)["status"] == "failed"
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Drop").click()
    expect(page.get_by_text("Dropped, as far")).to_be_visible()
    assert console.system.http.get(f"/tasks/{second}").status_code == 404


def test_an_incident_is_acknowledged_with_a_note_handed_over_and_resolved(page, console):
    incident = console.fire("ToolAway", severity="critical")
    page.goto("/")
    page.get_by_role("link", name=re.compile("ToolAway")).click()
    shoot(page, "incident")
    page.get_by_label("Note").fill("I am looking <b>at it</b>.")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".under-head .state").nth(1)).to_have_text("acknowledged")
    expect(page.locator(".steps")).to_contain_text("I am looking <b>at it</b>.")
    page.get_by_label("Owner").fill("grace")
    page.get_by_role("button", name="Hand over").click()
    expect(page.locator(".facts")).to_contain_text("grace")
    page.get_by_label("Note").fill("The tool is back.")
    page.get_by_role("button", name="Only write the note").click()
    expect(page.locator(".steps")).to_contain_text("The tool is back.")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".under-head .state").nth(1)).to_have_text("resolved")
    page.get_by_role("link", name="Review").click()
    expect(page.locator(".prose")).to_contain_text("The tool is back.")
    shoot(page, "review")
    assert console.system.http.get(f"/incidents/{incident}").json()["owner"] == "grace"


def test_workers_are_suspended_and_resumed(page, console):
    page.goto("/console/workers")
    expect(page.locator(".state.idle")).to_have_count(2)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Suspend all").click()
    try:
        expect(page.locator(".state.suspended")).to_have_count(2)
        shoot(page, "workers")
    finally:
        page.get_by_role("button", name="Resume all").click()
    expect(page.locator(".state.idle")).to_have_count(2)


def test_tasks_are_filtered_and_found(page, console):
    task = console.failed_task()
    page.goto("/console/tasks")
    page.get_by_label("State").select_option("failed")
    page.wait_for_url(re.compile("state=failed"))
    assert "agent=" not in page.url
    expect(page.locator(f"#t-{task}")).to_be_visible()
    expect(page.locator(".state.finished")).to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type(task)
    page.keyboard.press("Enter")
    expect(page.locator(".whole-id")).to_have_text(task)


def test_what_an_attacker_submits_is_shown_and_never_run(page, console):
    task = console.system.submit(
        "fault-log",
        message=SCRIPT,
        times=1,
        level="WARNING",
        extra={"<i>x</i>": SCRIPT},
        options={"metadata": {"k": SCRIPT}},
    )
    console.system.wait_for(task, "finished")
    failed = console.failed_task(SCRIPT)
    for path in (
        f"/console/tasks/{task['id']}",
        f"/console/tasks/{failed}",
        "/console/dead-letters",
        "/console/tasks",
        "/",
    ):
        page.goto(path)
        expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
        assert "attacked" not in page.title()
        assert page.locator("#live img, #live script, #live i").count() == 0
    page.goto(f"/console/tasks/{task['id']}")
    expect(page.locator(".document").first).to_contain_text("<script>document.title = 'attacked'</script><img src=x")
    expect(page.locator(".log")).to_contain_text(SCRIPT)
    page.goto(f"/console/find?id={SCRIPT}")
    expect(page.locator(".empty")).to_contain_text("<script>")


def test_signing_out_closes_the_console(page):
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto("/console/tasks")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_wrong_key_is_told(make_page):
    page = make_page(signed_in=False)
    page.goto("/")
    shoot(page, "sign-in")
    page.get_by_label("API key").fill("wrong")
    with page.expect_response("**/console/sign-in") as answer:
        page.keyboard.press("Enter")
    assert answer.value.status == 401
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    sign_in(page)
    expect(page.get_by_role("heading", name="System")).to_be_visible()


def test_a_profiled_task_shows_its_flame_graph_and_its_slow_line(page):
    page.goto("/console/submit?agent=fault-burn-cpu")
    page.locator("#f-input-seconds").fill("0.2")
    page.locator("#options summary").click()
    page.get_by_label("Profile").select_option("line")
    page.get_by_role("button", name="Submit").click()
    # Processor time, of which a busy machine has little.
    expect(page.locator("h1 .state")).to_have_text("finished", timeout=60_000)
    picture = page.locator("img.flamegraph")
    expect(picture).to_be_visible()
    page.wait_for_function("document.querySelector('img.flamegraph').naturalWidth > 0")
    expect(page.locator("#h-profiles + details summary code")).to_contain_text("faults.py:")
    page.get_by_role("link", name="Table and flame graph").click()
    expect(page.locator("tbody tr").first).to_contain_text("faults.py:")
    shoot(page, "profile")
