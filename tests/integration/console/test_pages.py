"""What the pages show and what their forms do."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.integration.api.test_service import register_worker

ATTACK = "<script>alert('x')</script><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Collects what a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def fail(api, redis_client, **task):
    """Submit a task and let it stand there as one that a worker has failed."""
    submitted = api.submit(**task)
    redis_client.lrem("rq:queue:default", 1, submitted["id"])
    redis_client.hset(f"rq:job:{submitted['id']}", "status", "failed")
    redis_client.zadd("rq:failed:default", {submitted["id"]: 9_999_999_999})
    return submitted["id"]


def test_a_task_whose_input_is_a_script_shows_as_text(browser):
    task = browser.api.submit(text=ATTACK, metadata={"<b>key</b>": ATTACK})
    page = browser.get(f"/console/tasks/{task['id']}").text
    assert "&lt;script&gt;" in page
    for tag, attributes in Tags(page).tags:
        assert tag != "b"
        assert tag != "img"
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "script" or attributes["src"].startswith("/console/static/")


def test_what_is_searched_for_shows_as_text(browser):
    page = browser.get("/console/find", params={"id": ATTACK}).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "path", ["/", "/console/tasks", "/console/sign-in", "/console/submit?agent=measure", "/runbooks"]
)
def test_a_page_brings_nothing_inline_and_asks_nobody_else(browser, path):
    response = browser.get(path)
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert all(word in policy for word in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"))
    for tag, attributes in Tags(response.text).tags:
        assert "style" not in attributes
        assert tag != "style"
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action"):
            assert not (attributes.get(name) or "").startswith(("http:", "https:", "//")), (tag, attributes)
        assert tag != "script" or attributes.get("src")


def test_static_files_are_kept_by_browsers_and_lead_nowhere_else(browser):
    style = re.search(r'href="(/console/static/console\.css\?v=\w+)"', browser.get("/").text)
    response = browser.get(style[1])
    assert response.status_code == 200
    assert "immutable" in response.headers["cache-control"]
    for name in ("../router.py", "%2e%2e/router.py", "vendor/VENDORED.md", "nothing.js"):
        assert browser.get(f"/console/static/{name}").status_code == 404


def test_tasks_are_listed_by_agent_state_queue_and_time(browser):
    first, other = browser.api.submit(), browser.api.submit(agent="measure-alone")

    def shown(query: str) -> set[str]:
        return set(re.findall(r'id="t-([0-9a-f-]+)"', browser.get(f"/console/tasks?{query}").text))

    assert shown("") == {first["id"], other["id"]}
    assert shown("agent=measure") == {first["id"]}
    assert shown("queue=slow") == {other["id"]}
    assert shown("state=queued&agent=measure&time=5m") == {first["id"]}
    assert shown("state=failed") == set()


def test_an_id_or_its_beginning_leads_to_its_task(browser):
    task = browser.api.submit()
    for wanted in (task["id"], f" {task['id']} ", task["id"][:20]):
        response = browser.get("/console/find", params={"id": wanted})
        assert (response.status_code, response.headers["location"]) == (303, f"/console/tasks/{task['id']}")
    assert "Nothing found" in browser.get("/console/find", params={"id": "01"}).text


def test_an_unknown_task_is_a_page_of_its_own(browser):
    response = browser.get("/console/tasks/nope")
    assert response.status_code == 404
    assert "No such task" in response.text


def test_the_form_of_an_agent_submits(browser):
    form = browser.get("/console/submit?agent=measure").text
    assert 'name="input.text"' in form
    response = browser.send("/console/submit", agent="measure", **{"input.text": "words", "options.priority": '"high"'})
    assert response.status_code == 303, response.text
    task_id = re.fullmatch(r"/console/tasks/([0-9a-f-]+)\?told=submitted", response.headers["location"])[1]
    task = browser.api.get(f"/tasks/{task_id}").json()
    assert (task["agent"], task["input"], task["submitted_by"]) == ("measure", {"text": "words", "parts": []}, "ci")


def test_what_does_not_fit_comes_back_with_what_is_wrong(browser):
    fields = {"input.text": "", "input.parts": "no json"}
    response = browser.send("/console/submit", agent="measure", **fields)
    assert response.status_code == 422
    assert "This is no JSON" in response.text
    response = browser.send("/console/submit", agent="measure", **{"input.text": "", "input.parts": "[1]"})
    assert response.status_code == 422
    assert "at least 1 character" in response.text
    assert ">[1]</textarea>" in response.text


def test_json_can_be_typed_instead(browser):
    sent = {"agent": "measure", "raw": "1", "json": '{"text": "a", "parts": [1]}'}
    assert browser.send("/console/submit", **sent).status_code == 303
    wrong = browser.send("/console/submit", agent="measure", raw="1", json="[]")
    assert wrong.status_code == 422
    assert "JSON object" in wrong.text


def test_an_agent_of_the_service_itself_cannot_be_submitted_to(browser):
    assert browser.send("/console/submit", agent="house-keeping", **{"input.text": "x"}).status_code == 422


def test_a_workflow_is_started_shown_and_canceled(browser):
    response = browser.send(
        "/console/submit", workflow="document-report", **{"input.text": "# A\n\nWords.", "input.title": "T"}
    )
    assert response.status_code == 303, response.text
    path = response.headers["location"].partition("?")[0]
    page = browser.get(path).text
    assert "document-report" in page
    assert browser.send(f"{path}/cancel").status_code == 303
    assert "canceled" in browser.get(path).text


def test_a_waiting_task_is_canceled_and_retried(browser):
    task = browser.api.submit()
    response = browser.send(f"/console/tasks/{task['id']}/cancel", next="/console/tasks?state=queued")
    assert response.headers["location"] == "/console/tasks?state=queued&told=canceled"
    assert browser.api.get(f"/tasks/{task['id']}").json()["status"] == "canceled"
    assert browser.send(f"/console/tasks/{task['id']}/retry", next="//evil").headers["location"].startswith("/console/")
    assert browser.api.get(f"/tasks/{task['id']}").json()["status"] == "queued"
    assert browser.send(f"/console/tasks/{task['id']}/retry").status_code == 409


def test_dead_letters_are_retried_and_dropped(browser, redis_client):
    api = browser.api
    one, two, three = (fail(api, redis_client) for _ in range(3))
    page = browser.get("/console/dead-letters").text
    assert all(f'value="{task_id}"' in page for task_id in (one, two, three))
    assert browser.send("/console/dead-letters", what="retry", task=one, scope="chosen").status_code == 303
    assert api.get(f"/tasks/{one}").json()["status"] == "queued"
    assert browser.send("/console/dead-letters", what="drop", scope="all").status_code == 303
    assert {api.get(f"/tasks/{task_id}").status_code for task_id in (two, three)} == {404}
    assert "No dead letters" in browser.get("/console/dead-letters").text
    assert "told=none-chosen" in browser.send("/console/dead-letters", what="drop", scope="chosen").headers["location"]


def test_workers_are_shown_suspended_and_resumed(browser, redis_client):
    register_worker(redis_client)
    assert "here·7" in browser.get("/console/workers").text
    browser.send("/console/workers/suspend", minutes="5")
    assert 0 < redis_client.ttl("rq:suspended") <= 300
    assert "suspended" in browser.get("/console/workers").text
    browser.send("/console/workers/resume")
    assert not redis_client.exists("rq:suspended")


def test_a_notice_is_one_of_a_fixed_list(browser):
    assert "In its queue again." in browser.get("/console/tasks?told=retried").text
    assert "Send money" not in browser.get("/console/tasks?told=Send money").text


def test_runbooks_are_open_to_everybody(stranger):
    assert stranger.get("/runbooks/NoWorkerAlive").status_code == 200
