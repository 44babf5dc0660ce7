"""Each alert is complete: labels, links, metrics that exist, a test that shows it firing and ending, a runbook."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack import alert_faults as faults
from stack.alert_catalog import DASHBOARDS, RULE_TESTS, RULES, RUNBOOKS, alerts, code_blocks
from stack.checks import ToolMissingError, tool
from stack.engine import REPOSITORY
from stack.names import known_fields, query_fields

Finder = Callable[[Path], Iterator[str]]
FINDERS: list[Finder] = [faults.rule_faults, faults.comment_faults, faults.untested, faults.runbook_faults]


@pytest.mark.parametrize("find", FINDERS, ids=lambda find: find.__name__)
def test_every_alert_is_complete(find: Finder) -> None:
    assert list(find(REPOSITORY)) == []


def run(*words: str) -> list[str]:
    try:
        return list(tool(REPOSITORY, "promtool", *words))
    except ToolMissingError as error:
        pytest.skip(str(error))


def test_promtool_finds_no_fault_in_the_rules() -> None:
    files = [str(file.relative_to(REPOSITORY)) for file in sorted(RULES.glob("*.yml"))]
    assert run("check", "rules", "--lint=all", "--lint-fatal", *files) == []


@pytest.mark.parametrize("file", sorted(RULE_TESTS.glob("*.yml")), ids=lambda file: file.stem)
def test_every_alert_fires_when_it_should_and_only_then(file: Path) -> None:
    assert run("test", "rules", str(file.relative_to(REPOSITORY))) == []


def test_alerts_do_not_share_a_severity_without_saying_how_they_differ() -> None:
    seen = [(alert.name, tuple(sorted(alert.labels.items()))) for alert in alerts()]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_every_log_field_that_a_runbook_asks_for_exists(page: Path) -> None:
    fields = {field for query in code_blocks(page.read_text(), "kql") for field in query_fields(query)}
    assert fields <= known_fields()


def test_every_variable_that_a_link_to_a_dashboard_sets_is_there() -> None:
    for alert in alerts():
        for name, variable in re.findall(r"/d/([a-z-]+)\?var-(\w+)", alert.annotations["dashboard_url"]):
            board = json.loads((DASHBOARDS / f"{name}.json").read_text())
            assert variable in {entry["name"] for entry in board["templating"]["list"]}, (alert.name, name)


# What the finders are for: one mistake each, in a copy.


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in ("prometheus", "docs/runbooks", "grafana/dashboards"):
        shutil.copytree(REPOSITORY / part, tmp_path / part)
    return tmp_path


def change(file: Path, pattern: str, new: str) -> None:
    text, number = re.subn(pattern, new, file.read_text(), count=1, flags=re.DOTALL)
    assert number == 1
    file.write_text(text)


@pytest.mark.parametrize(
    ("find", "file", "pattern", "new", "found"),
    [
        (faults.rule_faults, "rules/agents.yml", r"max by \(agent\) \(agent_oldest_running_task_seconds\)",
         "max by (agent) (agent_oldest_task)", "AgentTaskRunningLong-warning: nothing exposes agent_oldest_task"),
        (faults.rule_faults, "rules/queue.yml", "severity: warning", "severity: page",
         "QueueGrowing-page: its severity is 'page'"),
        (faults.rule_faults, "rules/queue.yml", "team: agents", "team: nobody",
         "QueueGrowing-warning: its team is 'nobody'"),
        (faults.rule_faults, "rules/watchdog.yml", "runbooks/Watchdog", "runbooks/Watch",
         "Watchdog-none: its runbook_url does not lead to its runbook"),
        (faults.rule_faults, "rules/watchdog.yml", "/d/stack", "/d/nothing",
         "Watchdog-none: its dashboard_url leads to no dashboard"),
        (faults.rule_faults, "rules/watchdog.yml", "summary: Alerts get through", 'summary: ""',
         "Watchdog-none: it has no summary"),
        (faults.comment_faults, "rules/watchdog.yml", " +# Always on[^\n]*\n", "",
         "Watchdog: no comment says why its limit is what it is"),
        (faults.untested, "tests/queue.yml", r"  - name: WorkerMemoryHigh.*", "",
         "WorkerMemoryHigh-critical: no test shows that it fires"),
        (faults.untested, "tests/agents.yml", r"      - eval_time: 6m\n        alertname: AgentTaskRunningLong\n"
         r"        exp_alerts: \[\]\n", "", "AgentTaskRunningLong-warning: no test shows that it ends"),
        (faults.untested, "tests/agents.yml", r"      - eval_time: 0s\n        alertname: AgentTaskRunningLong\n"
         r"        exp_alerts: \[\]\n", "", "AgentTaskRunningLong-warning: no test shows that it is silent before"),
    ],
)  # fmt: skip
def test_a_mistake_is_found(root: Path, find: Finder, file: str, pattern: str, new: str, found: str) -> None:
    change(root / "prometheus" / file, pattern, new)

    assert found in list(find(root))


def test_a_runbook_that_is_missing_or_of_no_alert_is_found(root: Path) -> None:
    (root / "docs/runbooks/ApiDown.md").rename(root / "docs/runbooks/ApiGone.md")

    assert {"ApiDown: it has no runbook", "ApiGone.md: there is no such alert"} <= set(faults.runbook_faults(root))


def test_an_alert_that_has_no_test_is_found(root: Path) -> None:
    rules = root / "prometheus/rules/watchdog.yml"
    rules.write_text(rules.read_text() + rules.read_text().partition("    rules:\n")[2].replace("Watchdog", "Guard"))

    assert "Guard-none: no test shows that it fires" in list(faults.untested(root))
    assert "Guard: it has no runbook" in list(faults.runbook_faults(root))


def test_a_metric_of_a_runbook_that_does_not_exist_is_found(root: Path) -> None:
    change(root / "docs/runbooks/ValkeyDown.md", "redis_loading_dump_file", "redis_loading")

    assert "ValkeyDown.md: nothing exposes redis_loading" in list(faults.runbook_faults(root))
