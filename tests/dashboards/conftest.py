"""Starts the stack once, under a name of its own, lets agents work and fail, and takes it down at the end.

With DASHBOARD_TEST_KEEP set it is left running, and the next run goes on with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from stack.engine import configuration, missing_images
from stack.preflight import engine_fault
from tests.dashboards import demo
from tests.dashboards.harness import Harness
from tests.stack.project import REPOSITORY, UP_SECONDS, Project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow for the start of the stack and the demo, which count as part of the first test."""
    for item in items:
        item.add_marker(pytest.mark.timeout(6 * UP_SECONDS))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The stack, up and healthy."""
    fault = engine_fault()
    if fault:
        pytest.skip(f"the stack cannot run here: {fault.what}")
    keeps = bool(os.environ.get("DASHBOARD_TEST_KEEP"))
    folder = REPOSITORY / "var" / "dashboard-test" if keeps else tmp_path_factory.mktemp("dashboards")
    folder.mkdir(parents=True, exist_ok=True)
    made = demo.prepared(folder)
    missing = missing_images(configuration(made.env_file, profiles=True))
    if missing:
        pytest.skip(f"the Docker engine lacks {', '.join(missing)}")
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
def task(project: Project) -> dict[str, Any]:
    """One of the tasks of the demo, which has run."""
    return demo.run(project)


@pytest.fixture(scope="session")
def harness(project: Project, task: dict[str, Any]) -> Harness:
    """What asks the stack as Grafana would, after the demo."""
    del task
    return Harness(project)
