"""What the documents name must exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent_service.api.problems import KINDS
from agent_service.api.routes import (
    agents,
    alerts,
    dead_letters,
    events,
    health,
    incidents,
    profiles,
    tasks,
    workers,
    workflows,
)
from agent_service.settings import Settings
from agent_service.telemetry.contract import METRICS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ROUTERS = (
    tasks.router,
    events.router,
    agents.router,
    workflows.router,
    incidents.router,
    alerts.router,
    profiles.router,
    health.router,
    workers.router,
    dead_letters.router,
)


def test_the_api_document_tells_every_problem_with_its_status():
    rows = re.findall(r"^\| (\d{3}) \| `/problems/([a-z-]+)`", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)

    told = {slug: int(status) for status, slug in rows}
    # No answer that a request to a documented path can get carries this one: it is about the pages of problems.
    assert told == {slug: kind.status for slug, kind in KINDS.items() if slug != "problem-not-found"}


def test_the_api_document_shows_every_path():
    text = (ROOT / "docs" / "api.md").read_text()
    shown = {
        re.sub(r"\$(id|run|worker)\b|planner\b|document-report\b", "{}", path)
        for path in re.findall(r"\$url(/[\w/.$-]+)", text)
    }

    paths = {re.sub(r"\{\w+\}", "{}", route.path) for router in ROUTERS for route in router.routes}
    assert paths <= shown


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_and_metric_that_a_document_names_exists(document: Path):
    text = document.read_text()
    settings = {name.upper() for name in Settings.model_fields}
    prefixes = tuple({name.partition("_")[0] + "_" for name in settings})
    settings |= set(re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / "docker-compose.yml").read_text()))
    named = {word for word in re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", text) if word.startswith(prefixes)}
    metrics = set(re.findall(r"`(agent_[a-z_]+)`", text)) - {"agent_service"}

    assert named <= settings
    assert metrics <= {metric.name for metric in METRICS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_that_a_document_names_exists(document: Path):
    makefiles = "".join((ROOT / name).read_text() for name in ("Makefile", "stack.mk"))
    targets = set(re.findall(r"^([a-z-]+):", makefiles, re.MULTILINE))
    text = document.read_text()

    named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", text))

    assert named <= targets
