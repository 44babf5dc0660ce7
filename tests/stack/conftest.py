"""Starts the stack once for all tests, gives it work, and takes it down with its volumes at the end.

With STACK_TEST_KEEP set it is left running, and the next run goes on with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.stack.project import REPOSITORY, UP_SECONDS, Project, wait_until


@dataclass(frozen=True)
class Work:
    """Tasks that have run, one for each outcome that the tests look for."""

    success: dict[str, Any]
    failure: dict[str, Any]
    retried: dict[str, Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow for the start of the stack, which counts as part of the first test, and for restarts."""
    for item in items:
        item.add_marker(pytest.mark.timeout(3 * UP_SECONDS))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The stack, up and healthy."""
    keeps = bool(os.environ.get("STACK_TEST_KEEP"))
    folder = REPOSITORY / "var" / "stack-test" if keeps else tmp_path_factory.mktemp("stack")
    folder.mkdir(parents=True, exist_ok=True)
    made = Project(folder)
    if not keeps:
        made.compose("down", "--volumes", "--remove-orphans")
    made.compose("build", "--quiet")
    try:
        made.up()
        yield made
    finally:
        if not keeps:
            made.compose("down", "--volumes", "--timeout", "10")
        made.close()


@pytest.fixture(scope="session")
def work(project: Project) -> Work:
    """Real tasks, ended and seen by Prometheus."""
    text = "# Queue\n\nValkey keeps the queue of the agents. Workers take tasks from the queue."
    success = project.submit("planner", text=text)
    failure = project.submit("fault-fail", {"retries": 0}, message="stack test")
    retried = project.submit("fault-fail-times", times=1)
    project.submit("fault-write-disk", megabytes=4)
    project.submit("fault-sleep", seconds=30)  # longer than from one scrape to the next
    work = Work(
        success=project.wait_for(success, "finished"),
        failure=project.wait_for(failure, "failed"),
        retried=project.wait_for(retried, "finished"),
    )
    for outcome in ("success", "failure", "retry"):
        wait_until(lambda o=outcome: project.query(f'agent_tasks_total{{outcome="{o}"}}'), f"{outcome} is counted")
    return work
