"""Metrics: from every part of the stack into Prometheus, and on to Alertmanager."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from agent_service.telemetry.contract import METRICS, RESERVED, Metric, MetricKind
from tests.stack.conftest import Work
from tests.stack.project import Project, wait_until

JOBS = [
    "agent-api",
    "agent-worker",
    "valkey",
    "prometheus",
    "alertmanager",
    "jaeger",
    "jaeger-spans",
    "grafana",
    "elasticsearch",
    "logstash",
    "log-alerts",
]
PLACEHOLDERS = {"grafana": "grafana", "logstash": "logstash-exporter"}
EXPORTED = {
    "valkey": "redis_memory_used_bytes",
    "elasticsearch": "elasticsearch_filesystem_data_available_bytes",
    "jaeger-spans": "traces_span_metrics_calls_total",
    "log-alerts": "elastalert_scrapes_total",
    "logstash": "logstash_events_out_total",
    "grafana": "grafana_build_info",
}


@pytest.mark.parametrize("job", JOBS)
def test_a_target_is_scraped(project: Project, job: str) -> None:
    if job in PLACEHOLDERS:
        project.require_real(PLACEHOLDERS[job])

    wait_until(lambda: health_of(project, job) == {"up"}, f"{job} is up")


def test_no_job_is_left_out(project: Project) -> None:
    assert {target["labels"]["job"] for target in targets(project)} == set(JOBS)


@pytest.mark.parametrize(("job", "metric"), EXPORTED.items())
def test_an_exporter_tells_what_the_alerts_ask_for(project: Project, work: Work, job: str, metric: str) -> None:
    if job in PLACEHOLDERS:
        project.require_real(PLACEHOLDERS[job])

    wait_until(lambda: project.query(f'{metric}{{job="{job}"}}'), f"{metric} has samples")


def test_both_workers_are_found(project: Project) -> None:
    def workers() -> list[str]:
        return [target["health"] for target in targets(project) if target["labels"]["job"] == "agent-worker"]

    wait_until(lambda: workers() == ["up", "up"], "two workers are scraped")


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric not in RESERVED], ids=lambda m: m.name)
def test_a_metric_of_the_contract_has_samples(project: Project, work: Work, metric: Metric) -> None:
    name = f"{metric.name}_count" if metric.kind is MetricKind.HISTOGRAM else metric.name

    # Some tell of running tasks only, so what was there a while ago counts too.
    samples = wait_until(lambda: project.query(f"last_over_time({name}[1h])"), f"{name} has samples")

    assert all(set(metric.labels) <= set(sample["metric"]) for sample in samples)


def test_an_exemplar_leads_to_its_trace(project: Project, work: Work) -> None:
    def traces() -> list[str]:
        answer = project.http.get(
            f"{project.url('prometheus')}/api/v1/query_exemplars",
            params={"query": "agent_task_duration_seconds_bucket", "start": "0", "end": "9999999999"},
        )
        found = answer.raise_for_status().json()["data"]
        return [exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]]

    trace_ids = wait_until(traces, "there are exemplars")

    wait_until(lambda: project.spans(trace_ids[0]), "the exemplar's trace is in Jaeger")


def test_every_rule_can_be_evaluated(project: Project) -> None:
    def groups() -> list[dict[str, object]]:
        answer = project.http.get(f"{project.url('prometheus')}/api/v1/rules").raise_for_status().json()
        rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else []

    rules = wait_until(groups, "every rule was evaluated once")

    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    assert len(rules) > 10


def test_alerts_arrive_in_alertmanager_at_their_receiver(project: Project) -> None:
    def watchdog() -> list[dict[str, object]]:
        answer = project.http.get(
            f"{project.url('alertmanager')}/api/v2/alerts", params={"filter": 'alertname="Watchdog"'}
        )
        return list(answer.raise_for_status().json())

    alert = wait_until(watchdog, "the watchdog is in Alertmanager")[0]

    assert alert["receivers"] == [{"name": "heartbeat"}]


def test_the_internal_port_is_not_published(project: Project) -> None:
    with pytest.raises(httpx.ConnectError):
        project.http.get("http://127.0.0.1:9464/metrics")


def targets(project: Project) -> list[dict[str, Any]]:
    """Return what Prometheus scrapes now; the series `up` still tells of the workers of before a `down`."""
    answer = project.http.get(f"{project.url('prometheus')}/api/v1/targets", params={"state": "active"})
    return list(answer.raise_for_status().json()["data"]["activeTargets"])


def health_of(project: Project, job: str) -> set[str]:
    return {target["health"] for target in targets(project) if target["labels"]["job"] == job}
