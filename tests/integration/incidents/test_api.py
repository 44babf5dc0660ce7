"""Incidents and runbooks over HTTP."""

from __future__ import annotations

import json
import re

import pytest

from agent_service.api.routes.alerts import FIRING
from agent_service.incidents import Incident
from agent_service.incidents.review import QUESTIONS
from tests.integration.api.clients import AUTHORIZED, KEYS
from tests.integration.incidents.conftest import FROM_ALERTMANAGER, TOKEN
from tests.integration.system import free_port
from tests.unit.incidents.alerts import alert, payload


def send(api, *alerts, **changes):
    response = api.post("/alerts", json=payload(*alerts, **changes), headers=FROM_ALERTMANAGER)
    assert response.status_code == 200, response.text
    return response.json()["effects"]


def opened(api, *alerts, **changes):
    (effect,) = send(api, *alerts, **changes)
    assert effect["outcome"] == "opened"
    return effect["incident_id"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer forged"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "", "X-API-Key": TOKEN},
        {"Authorization": b"Bearer \xff"},
        AUTHORIZED,
    ],
)
def test_without_alertmanagers_token_no_alert_is_taken(api, headers):
    response = api.post("/alerts", content=b"not even JSON", headers=headers)
    assert response.status_code == 401
    assert response.json()["type"] == "/problems/alerts-unauthorized"
    assert response.headers["www-authenticate"] == "Bearer"
    assert api.get("/incidents").json()["incidents"] == []


def test_alertmanagers_token_opens_nothing_else(api):
    assert api.get("/incidents", headers=FROM_ALERTMANAGER).status_code == 401
    assert api.get("/tasks", headers=FROM_ALERTMANAGER).status_code == 401


def test_where_no_token_is_configured_none_is_valid(make_api):
    api = make_api(alerts_token_sha256=None)
    assert api.post("/alerts", json=payload(), headers=FROM_ALERTMANAGER).status_code == 401


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"version": "5"}, "#/version", "version 4 of Alertmanager's webhook payload, not '5'"),
        ({"version": None}, "#/version", "not None"),
        ({"alerts": []}, "#/alerts", "at least 1"),
        ({"groupKey": None}, "#/groupKey", "valid string"),
    ],
)
def test_a_payload_that_is_not_understood_is_refused_with_the_place(api, changes, pointer, words):
    response = api.post("/alerts", json=payload(**changes), headers=FROM_ALERTMANAGER)
    assert response.status_code == 422
    (fault,) = response.json()["errors"]
    assert fault["pointer"] == pointer
    assert words in fault["detail"]


def test_while_redis_is_away_alertmanager_is_told_to_come_again(make_api):
    api = make_api(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    for path, headers in (("/alerts", FROM_ALERTMANAGER), ("/incidents/x/notes", {})):
        body = payload() if path == "/alerts" else {"note": "n"}
        response = api.post(path, json=body, headers=headers)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    for path in ("/incidents", "/incidents/export", "/incidents/x", "/incidents/x/review"):
        assert api.get(path).status_code == 503


def test_the_documented_example_is_taken(api):
    response = api.post("/alerts", json=FIRING, headers=FROM_ALERTMANAGER)
    assert response.json()["effects"][0]["outcome"] == "opened"


def test_an_incident_goes_its_way_and_tells_who_did_what(api):
    incident_id = opened(api)
    path = f"/incidents/{incident_id}"
    assert api.get(path).json()["next_steps"] == ["acknowledged"]
    api.post(f"{path}/steps", json={"step": "acknowledged", "note": "on it"})
    api.post(f"{path}/steps", json={"step": "investigating", "by": "ada"})
    api.post(f"{path}/notes", json={"note": "it is the tool"}, headers={"Authorization": f"Bearer {KEYS['ops']}"})
    assert api.post(f"{path}/owner", json={"owner": "grace"}).json()["owner"] == "grace"
    api.post(f"{path}/steps", json={"step": "mitigated"})
    assert api.post(f"{path}/steps", json={"step": "resolved"}).json()["status"] == "resolved"
    done = api.post(f"{path}/steps", json={"step": "reviewed"})
    assert done.status_code == 200
    assert done.json() == api.get(path).json()
    assert [(entry["kind"], entry["by"], entry["note"]) for entry in done.json()["timeline"]] == [
        ("opened", "alertmanager", "AgentFailing (agent=a)"),
        ("acknowledged", "ci", "on it"),
        ("investigating", "ada", ""),
        ("note", "ops", "it is the tool"),
        ("owner", "ci", "grace"),
        ("mitigated", "ci", ""),
        ("resolved", "ci", ""),
        ("reviewed", "ci", ""),
    ]


def test_a_step_out_of_order_is_refused_with_those_that_may_come(api):
    path = f"/incidents/{opened(api)}"
    response = api.post(f"{path}/steps", json={"step": "resolved"})
    assert response.status_code == 409
    problem = response.json()
    assert problem["type"] == "/problems/step-out-of-order"
    assert problem["detail"] == "the incident is open and cannot become resolved; next may come: acknowledged"
    assert api.get(path).json()["status"] == "open"


@pytest.mark.parametrize(
    ("what", "body", "pointer"),
    [
        ("steps", {"step": "closed"}, "#/step"),
        ("steps", {"step": "open"}, "#/step"),
        ("steps", {"step": "acknowledged", "by": ""}, "#/by"),
        ("steps", {"step": "acknowledged", "by": "two\nlines"}, "#/by"),
        ("notes", {"note": ""}, "#/note"),
        ("notes", {"note": "x" * 4_001}, "#/note"),
        ("owner", {}, "#/owner"),
        ("owner", {"owner": "a", "team": "b"}, "#/team"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_the_place(api, what, body, pointer):
    response = api.post(f"/incidents/{opened(api)}/{what}", json=body)
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


def test_what_there_is_not_is_404(api):
    for path in ("/incidents/nope", "/incidents/nope/review", "/incidents/%2e%2e"):
        assert api.get(path).json()["type"] == "/problems/incident-not-found"
    for what, body in (("steps", {"step": "acknowledged"}), ("notes", {"note": "n"}), ("owner", {"owner": "a"})):
        assert api.post(f"/incidents/nope/{what}", json=body).status_code == 404


def test_incidents_are_listed_filtered_and_paged(api):
    first = opened(api, alert(severity="warning"), group="1")
    second = opened(api, alert(team="platform"), group="2")
    page = api.get("/incidents", params={"limit": 1}).json()
    assert [incident["id"] for incident in page["incidents"]] == [second]
    assert "timeline" not in page["incidents"][0]
    page = api.get("/incidents", params={"cursor": page["next_cursor"]}).json()
    assert [incident["id"] for incident in page["incidents"]] == [first]
    for query, found in (
        ({"severity": "warning"}, [first]),
        ({"team": "platform"}, [second]),
        ({"status": "resolved"}, []),
    ):
        assert [incident["id"] for incident in api.get("/incidents", params=query).json()["incidents"]] == found
    assert api.get("/incidents", params={"status": "closed"}).status_code == 422


def test_the_export_has_every_incident_in_full(api):
    assert api.get("/incidents/export").text == ""
    ids = [opened(api, group=str(number)) for number in range(3)]
    response = api.get("/incidents/export")
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [line["id"] for line in lines] == ids[::-1]
    assert Incident.model_validate(lines[0]).timeline


def test_the_report_is_markdown(make_api):
    api = make_api(prometheus_url=f"http://127.0.0.1:{free_port()}")
    response = api.get(f"/incidents/{opened(api)}/review")
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.text.startswith("# Post-incident review: AgentFailing: ")
    assert "Impact unknown: Prometheus at http://127.0.0.1:" in response.text
    assert all(question in response.text for question in QUESTIONS)


NOBODY = {"Authorization": ""}


def test_a_runbook_is_a_page_without_a_key_and_nothing_in_it_is_run(api):
    response = api.get("/runbooks/AgentFailing", headers=NOBODY)
    assert response.status_code == 200
    assert response.headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
    )
    page = response.text
    assert "<h1>An agent fails &amp; fails</h1>" in page
    assert page.count("<h1>") == 1
    assert '<a href="/runbooks/QueueGrowing#fix">' in page
    assert '<a href="https://example.org/a">' in page
    assert "<td><code>agent_tasks_total</code></td>" in page
    assert "<pre><code>agent-service list" in page
    assert "<script>" not in page
    assert "<b>" not in page
    assert 'href="javascript' not in page


def test_a_runbook_without_a_heading_has_its_name(api):
    assert "<h1>QueueGrowing</h1>" in api.get("/runbooks/QueueGrowing", headers=NOBODY).text


def test_every_link_between_runbooks_and_their_guides_leads_somewhere(make_api):
    api = make_api(runbooks_dir=None)
    names = re.findall(r'href="(/runbooks/[^"]+)"', api.get("/runbooks", headers=NOBODY).text)
    seen, left = set(), {*names, "/runbooks/incident-response", "/runbooks/faults"}
    while left:
        path = left.pop()
        response = api.get(path, headers=NOBODY)
        assert response.status_code == 200, path
        seen.add(path)
        left |= (
            {
                link.partition("#")[0] if link.startswith("/") else f"/runbooks/{link}"
                for link in re.findall(r'href="([^"#:]+)(?:#[^"]*)?"', response.text)
                if link.startswith("/runbooks/") or not link.startswith("/")
            }
            - seen
            - {"/runbooks"}
        )
    assert {"/runbooks/IncidentUnacknowledged", "/runbooks/incident-response", "/runbooks/faults"} <= seen
    assert len(seen) > 60


def test_a_guide_is_shown_like_a_runbook_but_not_listed(make_api, tmp_path):
    folder = tmp_path / "runbooks"
    folder.mkdir()
    (folder / "AgentFailing.md").write_text("See [the guide](../incident-response.md#escalation).")
    (tmp_path / "incident-response.md").write_text("# Guide\n\nBack to [it](runbooks/AgentFailing.md).")
    (tmp_path / "secret.md").write_text("secret")
    api = make_api(runbooks_dir=folder)

    assert 'href="/runbooks/incident-response#escalation"' in api.get("/runbooks/AgentFailing", headers=NOBODY).text
    guide = api.get("/runbooks/incident-response", headers=NOBODY)
    assert (guide.status_code, 'href="/runbooks/AgentFailing"' in guide.text) == (200, True)
    assert "incident-response" not in api.get("/runbooks", headers=NOBODY).text
    assert api.get("/runbooks/secret", headers=NOBODY).status_code == 404


def test_the_runbooks_are_listed(api):
    page = api.get("/runbooks", headers=NOBODY).text
    assert '<a href="/runbooks/AgentFailing">AgentFailing</a>' in page
    assert '<a href="/runbooks"' in api.get("/runbooks/AgentFailing", headers=NOBODY).text


@pytest.mark.parametrize("name", ["AgentFailling", "<b>", "..%2FREADME", "%2e%2e", "..%5c..", "AgentFailing.md", "%00"])
def test_a_runbook_that_there_is_not_is_a_page_that_helps(api, name):
    response = api.get(f"/runbooks/{name}", headers=NOBODY)
    assert response.status_code == 404
    if response.headers["content-type"].startswith("text/html"):
        assert '<a href="/runbooks">All runbooks</a>' in response.text
        assert "<b>" not in response.text


def test_the_nearest_runbooks_are_offered(api):
    assert '<a href="/runbooks/AgentFailing">' in api.get("/runbooks/AgentFailling", headers=NOBODY).text


def test_where_there_are_no_runbooks_the_setting_is_named(make_api, tmp_path):
    api = make_api(runbooks_dir=tmp_path / "none")
    assert "RUNBOOKS_DIR" in api.get("/runbooks", headers=NOBODY).text
    assert api.get("/runbooks/AgentFailing", headers=NOBODY).status_code == 404
