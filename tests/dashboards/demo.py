"""A stack in which agents worked and failed, so that every panel has something to show."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent_service.telemetry.contract import LOG_DATA_STREAM
from stack.env_file import new_env
from tests.stack.project import API_KEY, CLONE, PORTS, UP_SECONDS, Project, wait_until

PROJECT = f"agents-dashboards-{CLONE}"
TEXT = Path(__file__).parents[2] / "docs" / "stack.md"
BULK_LINES = 1_000
FAULTS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("fault-fail", {"retries": 0}, {"message": "a fault on demand"}),
    ("fault-fail-times", {}, {"times": 1}),
    ("fault-crash", {"retries": 0}, {}),
    ("fault-burn-cpu", {}, {"seconds": 2}),
    ("fault-write-disk", {}, {"megabytes": 8}),
    ("fault-hold-memory", {}, {"megabytes": 48}),
    ("fault-log", {}, {"level": "WARNING", "times": 3}),
    ("fault-log", {}, {"level": "ERROR", "times": 3}),
    # Longer than from one scrape to the next, so that it is seen running.
    ("fault-sleep", {}, {"seconds": 25}),
)
"""Agents, options and inputs of one round."""
COPIES = 3
"""How often each is submitted, so that every worker gets some."""
ROUNDS = 4
GROWN = (
    'agent_tasks_total{outcome="failure"}',
    'agent_tasks_total{outcome="retry"}',
    'traces_span_metrics_calls_total{span_name=~"execute_tool .*"}',
)
"""Samples that have to grow."""


def prepared(folder: Path) -> Project:
    """Return the compose project with settings of its own, the exporters of the machine included."""
    env_file = folder / "env"
    if not env_file.exists():
        settings = {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_PROFILES": "host",
            "SECRETS_DIR": str(folder / "secrets"),
            "FAULT_AGENTS": "true",
            "WORKER_REPLICAS": "2",
            **dict(zip(PORTS.values(), _free_ports(len(PORTS)), strict=True)),
        }
        env_file.write_text(new_env(API_KEY) + "".join(f"{name}={value}\n" for name, value in settings.items()))
    return Project(folder)


def _free_ports(count: int) -> list[str]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [str(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def run(project: Project) -> dict[str, Any]:
    """Let agents work and fail, and wait until every backend has it; return one of the tasks.

    A counter that is new has no rate yet, and which worker takes a task is up to them: rounds follow each other until
    one worker has done everything twice.
    """
    _round(project)
    wait_until(lambda: project.query('agent_tasks_total{outcome="crash"}'), "Prometheus saw a round", UP_SECONDS)
    for _ in range(ROUNDS):
        _round(project)
        if all(_seen(project, sample) for sample in GROWN):
            break
    for sample in GROWN:
        wait_until(lambda s=sample: _seen(project, s), f"Prometheus saw {sample} grow", UP_SECONDS)
    wait_until(lambda: project.query("node_load1"), "the machine is watched", UP_SECONDS)
    # Its process does not crash before it has exported its spans, as one of a round may.
    task = _ended(project, _start_workflow(project))
    deliver_logs(project)
    # The end of a trace arrives after its beginning: the span of the task itself is the one that is looked for.
    wait_until(lambda: task["id"] in _tasks_of(project.spans(task["trace_id"])), "the task is in its trace in Jaeger")
    return task


def _tasks_of(spans: list[dict[str, Any]]) -> set[str]:
    return {span["tags"].get("task.id") for span in spans if span["name"].startswith("invoke_agent")}


def _seen(project: Project, sample: str) -> bool:
    return bool(project.query(f"increase({sample}[5m]) > 0"))


def _round(project: Project) -> None:
    """Start a workflow and every fault, make requests that are refused, and wait until all ended."""
    workflow_id = _start_workflow(project)
    tasks = [project.submit(agent, options, **payload) for agent, options, payload in FAULTS * COPIES]
    project.api.get("/tasks/01a20d13-0000-7000-8000-000000000000")
    project.api.post("/tasks", json={"agent": "nobody", "input": {}})
    _ended(project, workflow_id)
    for task in tasks:
        project.wait_for(task, "finished", "failed")


def _start_workflow(project: Project) -> str:
    body = {"title": "The stack", "text": TEXT.read_text(encoding="utf-8")[:4_000]}
    started: dict[str, Any] = project.api.post("/workflows/document-report", json=body).raise_for_status().json()
    return str(started["id"])


def _ended(project: Project, workflow_id: str) -> dict[str, Any]:
    """Wait for the end of a workflow and return one of its tasks."""

    def ended() -> dict[str, Any]:
        found: dict[str, Any] = project.api.get(f"/workflows/{workflow_id}").raise_for_status().json()
        return found if found["ended_at"] else {}

    steps = wait_until(ended, "the workflow ended", UP_SECONDS)["steps"]
    return project.task({"id": next(task_id for step in steps for task_id in step["task_ids"])})


def deliver_logs(project: Project) -> None:
    """See to it that Elasticsearch has the log lines: by Logstash, or in its place where its image is no real one."""
    lines = project.log_lines()
    if project.is_placeholder("logstash"):
        for chunk in _chunks(lines):
            body = "".join(chunk)
            answer = project.elastic("POST", f"/{LOG_DATA_STREAM}/_bulk", user="logstash_writer", lines=body)
            faults = [item["create"] for item in answer.raise_for_status().json()["items"] if "error" in item["create"]]
            # A line that is there already is refused, just as when Logstash reads it twice.
            assert all(fault["status"] == 409 for fault in faults), faults[:3]
    ids = [line["event"]["id"] for line in lines[-5:]]
    wait_until(
        lambda: project.count(LOG_DATA_STREAM, {"terms": {"event.id": ids}}) == len(ids), "the log lines are delivered"
    )


def _chunks(lines: list[dict[str, Any]]) -> Iterator[list[str]]:
    stream = {"data_stream": {"type": "logs", "dataset": "agents", "namespace": "default"}}
    written = [
        json.dumps({"create": {"_id": line["event"]["id"]}}) + "\n" + json.dumps({**line, **stream}) + "\n"
        for line in lines
    ]
    for start in range(0, len(written), BULK_LINES):
        yield written[start : start + BULK_LINES]
