"""Each kind of mistake in the stack's files is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stack.checks import CHECKS, project_faults, run_check
from stack.engine import REPOSITORY

PARTS = (
    "prometheus",
    "alertmanager",
    "grafana",
    "logstash",
    "elasticsearch",
    "kibana",
    "jaeger",
    "log_alerts",
    "docs",
    "docker-compose.yml",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the stack's files, to make mistakes in."""
    for part in PARTS:
        copy = shutil.copytree if (REPOSITORY / part).is_dir() else shutil.copy
        copy(REPOSITORY / part, tmp_path / part)
    tmp_path.chmod(0o755)
    return tmp_path


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def faults(name: str, root: Path) -> str:
    result = run_check(name, root)
    if result.skipped:
        pytest.skip(result.skipped)
    return "\n".join(result.faults)


@pytest.mark.parametrize("name", CHECKS)
def test_the_repository_itself_is_clean(name: str) -> None:
    assert faults(name, REPOSITORY) == ""


def test_a_broken_rule_is_found(root: Path) -> None:
    change(root / "prometheus/rules/platform.yml", 'logstash"} == 0', 'logstash"} === 0')

    assert "parse error" in faults("Prometheus: configuration and rules", root)


def test_a_rule_that_fires_wrongly_is_found(root: Path) -> None:
    change(root / "prometheus/rules/platform.yml", 'logstash"} == 0', 'logstash"} == 1')

    assert "TargetDown" in faults("Prometheus: tests of the rules", root)


def test_a_broken_route_is_found(root: Path) -> None:
    change(root / "alertmanager/alertmanager.yml", "receiver: team", "receiver: nowhere")

    assert "nowhere" in faults("Alertmanager: configuration and templates", root)


def test_a_route_to_the_wrong_receiver_is_found(root: Path) -> None:
    change(root / "alertmanager/alertmanager.yml", "receiver: team", "receiver: nobody")

    assert faults("Alertmanager: tests of the routes", root)


def test_a_broken_template_is_found(root: Path) -> None:
    change(root / "alertmanager/templates/agents.tmpl", "{{ end }}", "")

    assert faults("Alertmanager: configuration and templates", root)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("prometheus/rules/agents.yml", "agent_oldest_running_task_seconds", "agent_oldest_task_seconds"),
        ("prometheus/rules/recording.yml", "agent_task_wait_seconds_bucket", "agent_task_wait_seconds"),
        ("grafana/dashboards/agents.json", "agent_tasks_in_progress", "agent_tasks_running"),
        ("grafana/provisioning/datasources/agents.yml", "agent_tasks_total", "agent_tasks"),
    ],
)
def test_an_unknown_metric_is_found(root: Path, file: str, old: str, new: str) -> None:
    change(root / file, old, new)

    found = faults("Names of metrics", root)

    assert f"{file}: nothing exposes {new}" in found


@pytest.mark.parametrize(
    ("file", "old", "new", "field"),
    [
        ("logstash/pipeline/agents.conf", "[event][id]", "[event][uid]", "event.uid"),
        ("kibana/saved_objects/agents.ndjson", "error.type", "error.kind", "error.kind"),
        ("grafana/dashboards/logs.json", "log.level:(error", "level:(error", "level"),
        ("grafana/provisioning/datasources/agents.yml", "field: trace_id", "field: traceid", "traceid"),
        ("jaeger/ui.json", "query:'task.id", "query:'task_id", "task_id"),
    ],
)
def test_an_unknown_log_field_is_found(root: Path, file: str, old: str, new: str, field: str) -> None:
    change(root / file, old, new)

    assert f"{file}: there is no log field {field}" in faults("Names of log fields", root)


def test_a_field_of_the_contract_that_is_not_mapped_is_found(root: Path) -> None:
    change(root / "elasticsearch/setup/component_templates/agents-mappings.json", '"trace_id"', '"trace"')

    assert "do not map trace_id" in faults("Names of log fields", root)


def test_an_alert_without_an_expression_is_found(root: Path) -> None:
    change(root / "prometheus/rules/platform.yml", '        expr: max(up{job="logstash"}) == 0\n', "")

    assert faults("Prometheus: configuration and rules", root)


def test_an_alert_without_a_test_is_found(root: Path) -> None:
    change(root / "prometheus/rules/platform.yml", "alert: LogstashDown", "alert: LogstashGone")

    assert "LogstashGone-warning: no test shows that it fires" in faults(
        "Alerts: labels, links, tests and runbooks", root
    )


def test_an_alert_without_a_runbook_is_found(root: Path) -> None:
    (root / "docs/runbooks/LogstashDown.md").unlink()

    assert "LogstashDown: it has no runbook" in faults("Alerts: labels, links, tests and runbooks", root)


def test_invalid_ndjson_is_found(root: Path) -> None:
    file = root / "kibana/saved_objects/agents.ndjson"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, '{"id": ', ""]))

    assert f"agents.ndjson:{len(lines) + 1}" in faults("NDJSON", root)


def test_invalid_json_is_found(root: Path) -> None:
    change(root / "jaeger/ui.json", "{", "")

    assert "jaeger/ui.json" in faults("JSON", root)


def test_a_broken_script_is_found(root: Path) -> None:
    change(root / "kibana/import.sh", "  fi\n", "")

    assert "import.sh" in faults("Shell scripts", root)


def test_a_pattern_that_is_not_in_the_rules_is_found(root: Path) -> None:
    change(root / "log_alerts/patterns.toml", "threshold = 50", "threshold = 60")

    assert "LogErrorBurst.yml does not fit the patterns" in faults("Log alerts: patterns and their rules", root)


def test_an_invalid_pattern_is_found(root: Path) -> None:
    change(root / "log_alerts/patterns.toml", 'severity = "critical"', 'severity = "page"')

    assert "patterns.toml" in faults("Log alerts: patterns and their rules", root)


@pytest.mark.parametrize(
    ("service", "fault"),
    [
        ({"image": "some/image:latest"}, "has no full tag"),
        ({"image": "some/image"}, "has no full tag"),
        ({"privileged": True}, "it is privileged"),
        ({"ports": [{"published": "80", "host_ip": "0.0.0.0"}]}, "port 80 is open beyond this machine"),
        ({"ports": [{"published": "80"}]}, "port 80 is open beyond this machine"),
        ({"healthcheck": None}, "it has no health check"),
        ({"deploy": {"resources": {"limits": {"cpus": 1}}}}, "it has no limit of memory"),
        ({"cap_drop": []}, "it keeps capabilities"),
        ({"security_opt": []}, "it may gain privileges"),
        ({"logging": {}}, "its logs grow without end"),
        ({"deploy": {"resources": {"limits": {"cpus": 1, "memory": str(5 * 2**30)}}}}, "add up to 5.00 GiB"),
    ],
)
def test_a_service_that_does_what_it_must_not_is_found(service: dict[str, object], fault: str) -> None:
    good = {
        "image": "some/image:1.2.3",
        "ports": [{"published": "80", "host_ip": "127.0.0.1"}],
        "healthcheck": {},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "logging": {"options": {"max-size": "10m"}},
        "deploy": {"resources": {"limits": {"cpus": 1, "memory": "1024"}}},
    }
    changed = {name: value for name, value in {**good, **service}.items() if value is not None}

    def found(service: dict[str, object]) -> str:
        project = {"services": {"it": json.loads(json.dumps(service))}}
        return "\n".join(project_faults(project, project))

    assert found(good) == ""
    assert fault in found(changed)
