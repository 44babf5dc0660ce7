"""Every fault, from its beginning to the review of its incident, through Prometheus, Alertmanager, elastalert2 and the
API, by the product's own commands. Only the times are a tenth of what they are."""

from __future__ import annotations

import pytest

from agent_service.cli.faults.catalog import FAULTS
from tests.faults.stack import FACTOR
from tests.faults.story import ESCALATED, Story

SLACK_SECONDS = 2.0
"""What the machine may add to a delay; in proportion where it has more work than processors."""
CORE = 0.9
"""The limit of AgentCpuHigh."""

each = pytest.mark.parametrize("name", FAULTS)


@pytest.fixture
def story(stories: dict[str, Story], name: str) -> Story:
    told = stories[name]
    if told.problem and told.share < CORE:
        pytest.skip(f"this machine is too busy for {name}: the worker got {told.share:.2f} of a core")
    return told


def slack(story: Story) -> float:
    return SLACK_SECONDS * max(1.0, story.load)


@each
def test_the_fault_becomes_an_incident_that_is_resolved_and_reviewed(story: Story) -> None:
    assert story.problem == "", story.said
    assert story.status == "reviewed"
    assert story.delivered
    assert story.opened
    assert story.resolved
    assert story.began <= story.opened <= story.resolved
    assert story.fault.alert in story.review
    assert "## Timeline" in story.review


@each
def test_the_alert_is_pending_before_it_fires(story: Story) -> None:
    if story.fault.alert.startswith("Log"):
        pytest.skip("elastalert2 counts lines; Prometheus does not know of it")
    assert story.pending
    assert story.firing
    assert story.firing - story.pending == pytest.approx(
        story.fault.scaled(FACTOR).holds.total_seconds(), abs=slack(story)
    )


@each
def test_somebody_hears_of_it_as_soon_as_the_rule_allows(story: Story) -> None:
    assert story.delay is not None
    assert story.delay <= story.allowed + slack(story)


@pytest.mark.parametrize("name", ESCALATED)
def test_who_is_next_is_told_when_nobody_acknowledges_it(story: Story) -> None:
    assert story.escalated
    assert story.opened
    minutes = 5 if story.fault.severity == "critical" else 30
    assert story.escalated - story.opened >= minutes * 60 * FACTOR - 1


@each
def test_the_fault_says_beforehand_what_it_will_do_and_cleans_up(story: Story) -> None:
    said = "\n".join(story.said)

    assert said.index(f"{story.fault.alert} ({story.fault.severity}), about") < said.index("begins")
    assert f"/runbooks/{story.fault.alert}" in said
    assert said.splitlines()[-1].partition("  ")[2].startswith(f"{story.fault.name} ends: ")
    assert story.exit_code == 0


def test_the_queue_is_empty_again(stories: dict[str, Story], stack) -> None:
    listed = stack.api.get("/tasks", params={"status": "queued", "limit": 200}).raise_for_status().json()

    assert [task for task in listed["tasks"] if task["agent"].startswith("fault-")] == []


def test_everything_runs_again(stories: dict[str, Story], stack) -> None:
    task = stack.submit("planner", text="# Afterwards\n\nAll is as it was.")

    assert stack.wait_for(task, "finished", "failed")["status"] == "finished"
