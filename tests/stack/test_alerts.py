"""From what Prometheus or a log line tells to an incident, and from the incident back to its runbook."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from agent_service.telemetry.contract import LOG_DATA_STREAM
from tests.stack.project import Project, wait_until

SECRETS = ("alert_slack_url", "alert_pagerduty_key", "alert_webhook_url", "alert_heartbeat_url")


def incidents(project: Project, alert: str) -> list[dict[str, Any]]:
    """Return the incidents about an alert, in full."""
    lines = project.api.get("/incidents/export").raise_for_status().text.splitlines()
    found = [json.loads(line) for line in lines]
    return [each for each in found if each["alerts"][0]["labels"]["alertname"] == alert]


def fire(project: Project, alert: str, **labels: str) -> None:
    """Tell Alertmanager what Prometheus would tell it."""
    body = [{"labels": {"alertname": alert, "severity": "warning", "team": "agents", **labels}}]
    project.http.post(f"{project.url('alertmanager')}/api/v2/alerts", json=body).raise_for_status()


def test_the_rules_are_loaded_and_the_watchdog_gets_through(project: Project) -> None:
    wait_until(lambda: project.query('ALERTS{alertname="Watchdog", alertstate="firing"}'), "the Watchdog fires")

    def arrived() -> bool:
        answer = project.http.get(
            f"{project.url('alertmanager')}/api/v2/alerts", params={"filter": "alertname=Watchdog"}
        )
        return bool(answer.raise_for_status().json())

    wait_until(arrived, "Alertmanager has the Watchdog")


def test_an_alert_becomes_an_incident_with_a_runbook_that_can_be_read(project: Project) -> None:
    fire(project, "QueueGrowing", queue="stack-test")

    (incident,) = wait_until(lambda: incidents(project, "QueueGrowing"), "the alert is an incident")

    assert incident["status"] == "open"
    page = project.http.get(f"{project.url('api')}/runbooks/QueueGrowing")
    assert page.status_code == 200
    assert "QueueGrowing" in page.text


def test_an_info_alert_is_for_dashboards_only(project: Project) -> None:
    fire(project, "StackTestInfo", severity="info")
    fire(project, "StackTestAfter")

    wait_until(lambda: incidents(project, "StackTestAfter"), "the alert after it is an incident")

    assert incidents(project, "StackTestInfo") == []


def test_one_critical_log_line_becomes_an_incident(project: Project) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    id_ = str(uuid.uuid4())
    line = {
        "@timestamp": now,
        "message": "the stack test ends the world",
        "log": {"level": "critical", "logger": "tests"},
        "service": {"name": "agent-worker"},
        "event": {"id": id_},
        "gen_ai": {"agent": {"name": "stack-test"}},
        "data_stream": {"type": "logs", "dataset": "agents", "namespace": "default"},
    }
    body = f"{json.dumps({'create': {'_id': id_}})}\n{json.dumps(line)}\n"
    answer = project.elastic("POST", f"/{LOG_DATA_STREAM}/_bulk", user="logstash_writer", lines=body)
    assert answer.raise_for_status().json()["errors"] is False

    (incident,) = wait_until(lambda: incidents(project, "LogCritical"), "the line is an incident")

    assert incident["severity"] == "critical"
    assert "the stack test ends the world" in json.dumps(incident["alerts"])


@pytest.mark.parametrize("secret", SECRETS)
def test_a_receiver_that_is_not_configured_is_left_out(project: Project, secret: str) -> None:
    shown = project.execute("alertmanager", "sh", "/etc/alertmanager/start.sh", "--print").stdout

    assert secret not in shown
    assert "/run/secrets/alerts_token" in shown


def test_the_log_alerts_user_can_only_read_the_lines(project: Project) -> None:
    read = project.elastic("GET", f"/{LOG_DATA_STREAM}/_search?size=0", user="elastalert")
    written = project.elastic("POST", f"/{LOG_DATA_STREAM}/_doc", user="elastalert", body={"message": "forged"})

    assert read.status_code == 200
    assert written.status_code == 403
