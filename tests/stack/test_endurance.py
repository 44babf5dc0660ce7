"""Restarts: nothing that was accepted or kept is lost, whichever part goes away."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from agent_service.telemetry.contract import LOG_DATA_STREAM
from tests.stack.conftest import Work
from tests.stack.project import Project, wait_until

LINE = {"@timestamp": "2026-01-01T00:00:00.000Z", "message": "kept", "event": {"id": "kept-over-restarts"}}


@pytest.fixture(scope="module")
def kept(project: Project, work: Work) -> dict[str, str]:
    """Something in every store: a task, its trace, a log line, a sample, a silence."""
    path = f"/{LOG_DATA_STREAM}/_create/kept-over-restarts"
    assert project.elastic("PUT", path, user="logstash_writer", body=LINE).status_code in {201, 409}
    silence = {
        "matchers": [{"name": "alertname", "value": "Nothing", "isRegex": False}],
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2096-01-01T00:00:00Z",
        "createdBy": "tests",
        "comment": "kept over restarts",
    }
    answer = project.http.post(f"{project.url('alertmanager')}/api/v2/silences", json=silence).raise_for_status()
    wait_until(lambda: len(project.spans(work.success["trace_id"])) >= 4, "the trace is in Jaeger")
    wait_until(lambda: project.query("agent_tasks_submitted_total"), "there are samples")
    return {"silence": answer.json()["silenceID"]}


def check_everything_is_there(project: Project, work: Work, kept: dict[str, str]) -> None:
    assert project.task(work.success)["result"] == work.success["result"]
    assert len(project.spans(work.success["trace_id"])) >= 4
    assert project.count(LOG_DATA_STREAM, {"term": {"event.id": "kept-over-restarts"}}) == 1
    assert project.query("count_over_time(agent_tasks_submitted_total[1h]) > 0")
    silence = project.http.get(f"{project.url('alertmanager')}/api/v2/silence/{kept['silence']}")
    assert silence.json()["comment"] == "kept over restarts"


@pytest.mark.parametrize(
    "service",
    [
        "api",
        "worker",
        "valkey",
        "prometheus",
        "alertmanager",
        "jaeger",
        "elasticsearch",
        "valkey-exporter",
        "elasticsearch-exporter",
        "janitor",
        "grafana",
        "kibana",
        "logstash",
        "logstash-exporter",
    ],
)
def test_a_restart_loses_nothing(project: Project, work: Work, kept: dict[str, str], service: str) -> None:
    running = project.submit("fault-sleep", seconds=5)
    waiting = project.submit("planner", {"delay_seconds": 4}, text="# Later\n\nThis one waits.")

    project.restart(service)

    assert project.wait_for(running, "finished", "failed")["status"] == "finished"
    assert project.wait_for(waiting, "finished", "failed")["status"] == "finished"
    wait_until(lambda: project.api.get("/readyz").status_code == 200, "the service is ready")
    check_everything_is_there(project, work, kept)


def test_spans_sent_while_elasticsearch_restarts_arrive(project: Project, work: Work) -> None:
    project.restart("elasticsearch")
    task = project.submit("planner", text="# After\n\nSent after the restart.")
    project.wait_for(task, "finished")

    wait_until(lambda: len(project.spans(task["trace_id"])) >= 4, "the new trace is in Jaeger")


def test_a_killed_worker_gives_its_task_back(project: Project, work: Work) -> None:
    task = project.submit("fault-sleep", {"retries": 2}, seconds=10)
    project.wait_for(task, "started")

    project.compose("kill", "--signal", "KILL", "worker")
    project.up()

    assert project.wait_for(task, "finished", "failed")["status"] == "finished"


FLOW = 300
"""Tasks that flow while the stores of logs and traces are dead."""


@pytest.fixture(scope="module")
def flow(project: Project, work: Work) -> list[dict[str, Any]]:
    """Tasks that were submitted before, while and after Elasticsearch and Jaeger were dead, as they ended."""
    accepted = submit_many(project, FLOW // 3)
    project.compose("kill", "--signal", "KILL", "elasticsearch", "jaeger")
    accepted += submit_many(project, FLOW // 3)
    during = [project.wait_for(task, "finished", "failed") for task in accepted]
    project.up()
    after = [project.wait_for(task, "finished", "failed") for task in submit_many(project, FLOW // 3)]
    return during + after


def submit_many(project: Project, count: int) -> list[dict[str, Any]]:
    task = {"agent": "fault-sleep", "input": {"seconds": 0.05}, "options": {"retries": 0}}
    answer = project.api.post("/tasks/batch", json={"tasks": [task] * count}).raise_for_status()
    results = answer.json()["results"]
    assert {result["status"] for result in results} == {202}
    return [result["task"] for result in results]


def test_tasks_do_not_notice_that_logs_and_traces_go_nowhere(project: Project, flow: list[dict[str, Any]]) -> None:
    assert {(task["status"], task["attempts"]) for task in flow} == {("finished", 1)}
    wait_until(lambda: project.api.get("/readyz").status_code == 200, "the service is ready")


def test_every_task_of_the_outage_has_one_line_in_the_log_files(project: Project, flow: list[dict[str, Any]]) -> None:
    lines = [line for line in project.log_lines() if line["message"] == "task finished"]
    told = Counter(line["task"]["id"] for line in lines)
    assert {told[task["id"]] for task in flow} == {1}


def test_every_line_of_the_outage_arrives_in_elasticsearch_once(project: Project, flow: list[dict[str, Any]]) -> None:
    project.require_real("logstash")
    ids = {"terms": {"task.id": [task["id"] for task in flow]}}
    query = {"bool": {"filter": [ids, {"match_phrase": {"message": "task finished"}}]}}
    wait_until(lambda: project.count(LOG_DATA_STREAM, query) >= len(flow), "Logstash has caught up")
    assert project.count(LOG_DATA_STREAM, query) == len(flow)


def test_traces_arrive_again_after_the_outage(project: Project, flow: list[dict[str, Any]]) -> None:
    wait_until(lambda: len(project.spans(flow[-1]["trace_id"])) >= 4, "the last task's trace is in Jaeger")


def test_down_and_up_keep_everything(project: Project, work: Work, kept: dict[str, str]) -> None:
    project.compose("down")

    project.up()

    check_everything_is_there(project, work, kept)
    task = project.submit("planner", text="# Again\n\nWorks as before.")
    assert project.wait_for(task, "finished", "failed")["status"] == "finished"
