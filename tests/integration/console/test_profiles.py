"""Profiles on the console's pages, and the forms that ask for them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent_service.settings import Settings
from agent_service.tasks.profiles import ProfileStore, ProfileSummary
from agent_service.telemetry.identifiers import uuid7
from agent_service.telemetry.profiles import Measured, Place, ProfileKind, Row, Unit
from tests.integration.api.test_service import register_worker

ATTACK = "<script>alert('x')</script>"


@pytest.fixture
def saved(redis_client, browser) -> ProfileSummary:
    """A kept profile of a task that is there."""
    task = browser.api.submit()
    rows = [
        Row(function="slow", file="mine.py", line=9, self_seconds=1.0, total_seconds=2.0, source=f"slow('{ATTACK}')")
    ]
    stacks = {(Place("outer", "mine.py", 1), Place(ATTACK, "mine.py", 9)): 1.5}
    summary = ProfileSummary(
        id=uuid7(),
        kind=ProfileKind.LINE,
        agent="measure",
        task_id=task["id"],
        worker="w",
        started_at=datetime.now(UTC),
        seconds=2,
    )
    measured = Measured(Unit.SECONDS, stacks, rows, rows[0], "a note", frozenset({"mine.py"}))
    return ProfileStore(redis_client, Settings()).save(summary, measured)


def test_a_profile_names_the_line_and_shows_hostile_source_as_text(browser, saved):
    page = browser.get(f"/console/profiles/{saved.id}").text

    assert "slow (mine.py:9)" in page
    assert "a note" in page
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page


def test_the_flame_graph_and_the_file_are_there_for_whoever_is_signed_in(browser, saved, make_browser):
    picture = browser.get(f"/console/profiles/{saved.id}/flamegraph.svg")
    file = browser.get(f"/console/profiles/{saved.id}/speedscope.json")

    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert "outer" in picture.text
    assert "<script" not in picture.text
    assert "attachment" in file.headers["content-disposition"]
    assert file.json()["profiles"]
    assert make_browser().get(f"/console/profiles/{saved.id}/flamegraph.svg").status_code == 303


def test_the_pages_of_its_agent_and_its_task_lead_to_it(browser, saved):
    assert f"/console/profiles/{saved.id}" in browser.get("/console/agents/measure").text


def test_a_profile_that_is_not_kept_any_more_is_said_so(browser):
    response = browser.get("/console/profiles/0199aa5e-0000-7000-8000-000000000000")

    assert response.status_code == 404
    assert "profile" in response.text


def test_the_next_tasks_of_an_agent_are_asked_for(browser, redis_client):
    answer = browser.send("/console/agents/measure/profile", kind="line", tasks="10")

    assert answer.status_code == 303
    assert "profiled" in browser.get(answer.headers["location"]).text
    assert ProfileStore(redis_client, Settings()).requested_agents() == {"measure": ProfileKind.LINE}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "gprof", "tasks": "1"}, "kind is"),
        ({"kind": "line", "tasks": "0"}, "tasks is"),
        ({"kind": "line", "tasks": "101"}, "tasks is"),
        ({"kind": "line", "tasks": "many"}, "tasks is"),
        ({"kind": "line"}, "tasks is"),
    ],
)
def test_what_cannot_be_had_is_refused(browser, fields, said):
    answer = browser.send("/console/agents/measure/profile", **fields)

    assert answer.status_code == 422
    assert said in answer.text


def test_an_agent_or_a_worker_that_is_not_there_is_said_so(browser):
    assert browser.send("/console/agents/nobody/profile", kind="line", tasks="1").status_code == 404
    assert browser.send("/console/workers/profile", worker="nobody", kind="sample", seconds="10").status_code == 404


def test_a_worker_is_profiled_from_its_page(browser, redis_client):
    register_worker(redis_client)
    page = browser.get("/console/workers").text

    assert "Profile a worker" in page
