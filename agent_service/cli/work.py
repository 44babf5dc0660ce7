"""The commands that give work to the service and look at it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.text import Text

from agent_service.cli.client import RefusedError, ServiceClient
from agent_service.cli.configuration import load_settings
from agent_service.cli.drawing import (
    between_text,
    clock_text,
    columns,
    log_text,
    make_console,
    result_text,
    status_text,
    step_table,
    task_facts,
    workflow_facts,
)
from agent_service.cli.errors import CommandError
from agent_service.cli.invocation import own_command
from agent_service.cli.waterfall import waterfall
from agent_service.tasks.models import SpanRecord

_spans = TypeAdapter(list[SpanRecord])


def submit_task(agent: str, input_: str, options: dict[str, Any], *, wait: bool) -> None:
    """Submit a task; its id, or with `wait` its result, goes to standard output and the rest to standard error.

    Raises:
        CommandError: It was refused, or ended without a result.
        typer.BadParameter: The input is no JSON object.
    """
    body = {"agent": agent, "input": read_input(input_), "options": options}
    with ServiceClient.of(load_settings()) as client:
        task = client.post("/tasks", body)
        aside = make_console(stderr=True)
        if not wait:
            print(task["id"])
            aside.print(f"{task['status']}; see it with: {own_command()} show {task['id']}", soft_wrap=True)
            return
        aside.print(f"task {task['id']}")
        _follow(client, task["id"], aside)
        task = client.get(f"/tasks/{task['id']}")
    if task["status"] != "finished":
        error = task["error"] or {}
        raise CommandError(f"the task {task['status']}: {error.get('type', '')}: {error.get('message', '')}")
    print(json.dumps(task["result"], indent=2, ensure_ascii=False))


def show_work(work_id: str) -> None:
    """Show a task, or the run of a workflow, with its trace and its log lines."""
    console = make_console()
    with ServiceClient.of(load_settings()) as client:
        task = _find(client, f"/tasks/{work_id}")
        if task is None:
            run = _find(client, f"/workflows/{work_id}")
            if run is None:
                raise CommandError(f"there is no task and no workflow {work_id!r}; they are kept for a limited time")
            show_workflow(client, run, console)
            return
        console.print(task_facts(task))
        if task["result"] is not None:
            _heading(console, "Result")
            console.print(result_text(task["result"]))
        show_trace(spans_of(client, [work_id]), console)
        _show_logs(client.get(f"/tasks/{work_id}/logs"), console)


def show_workflow(client: ServiceClient, run: dict[str, Any], console: Console) -> None:
    """Show the run of a workflow with its trace and the log lines of its tasks."""
    task_ids = [task_id for step in run["steps"] for task_id in step["task_ids"]]
    console.print(workflow_facts(run))
    _heading(console, "Steps")
    console.print(step_table(run["steps"]))
    show_trace(spans_of(client, task_ids), console)
    _show_logs((line for task_id in task_ids for line in client.get(f"/tasks/{task_id}/logs")), console)


def spans_of(client: ServiceClient, task_ids: list[str]) -> list[SpanRecord]:
    """Return the spans of the trace that the tasks share."""
    return _spans.validate_python(client.get(f"/tasks/{task_ids[0]}/spans")) if task_ids else []


def show_trace(spans: list[SpanRecord], console: Console) -> None:
    """Show the waterfall of a trace."""
    _heading(console, "Trace")
    if spans:
        console.print(waterfall(spans, console))
    else:
        console.print("no spans are kept (they are for JOURNAL_HOURS)")


def list_tasks(agent: str | None, status: str | None, limit: int) -> None:
    """List tasks."""
    with ServiceClient.of(load_settings()) as client:
        page = client.get("/tasks", agent=agent, status=status, limit=limit)
    table = columns("task", "agent", "status", "runs", "submitted", "ran")
    for task in page["tasks"]:
        table.add_row(
            task["id"],
            task["agent"],
            status_text(task["status"]),
            str(task["attempts"]),
            clock_text(task["submitted_at"])[len("2026-") :],
            between_text(task["started_at"], task["ended_at"]),
        )
    _print_table(table, "there are no such tasks")


def cancel_task(task_id: str) -> None:
    """Cancel a task."""
    with ServiceClient.of(load_settings()) as client:
        task = client.delete(f"/tasks/{task_id}")
    is_over = task["status"] in {"canceled", "stopped"}
    print(task["status"] if is_over else f"{task['status']}; its worker was asked to stop it")


def retry_task(task_id: str) -> None:
    """Retry a task."""
    with ServiceClient.of(load_settings()) as client:
        print(client.post(f"/tasks/{task_id}/retry")["status"])


def list_agents(name: str | None) -> None:
    """List the agents, or show one as JSON."""
    with ServiceClient.of(load_settings()) as client:
        if name is not None:
            print(json.dumps(client.get(f"/agents/{name}"), indent=2, ensure_ascii=False))
            return
        agents = client.get("/agents")
    table = columns("agent", "version", "queue", "timeout", "retries", "what it does")
    for agent in agents:
        table.add_row(
            agent["name"],
            agent["version"],
            agent["queue"],
            f"{agent['timeout_seconds']} s",
            str(agent["retries"]),
            agent["description"],
        )
    _print_table(table, "there are no agents")


def list_workers() -> None:
    """List the live workers."""
    with ServiceClient.of(load_settings()) as client:
        workers = client.get("/workers")
    table = columns("worker", "queue", "state", "metrics", "last heard of", "tasks")
    for worker in workers:
        table.add_row(
            worker["name"],
            worker["queue"],
            worker["state"],
            worker["metrics_address"] or "-",
            clock_text(worker["last_heartbeat"]),
            " ".join(worker["task_ids"]) or "-",
        )
    _print_table(table, "there are no live workers")


def read_input(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`, or in the file that it names after an `@`.

    Raises:
        typer.BadParameter: There is none.
    """
    try:
        if text == "@-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        value = json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"the file cannot be read: {error}", param_hint="--input") from error
    except ValueError as error:
        raise typer.BadParameter(f"this is no JSON: {error}", param_hint="--input") from error
    if not isinstance(value, dict):
        raise typer.BadParameter("the input of an agent is a JSON object", param_hint="--input")
    return value


def _find(client: ServiceClient, path: str) -> Any:
    """Return what is at a path, or None where nothing is."""
    try:
        return client.get(path)
    except RefusedError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def _follow(client: ServiceClient, task_id: str, console: Console) -> None:
    """Print what happens to a task until its end."""
    for name, data in client.events(task_id):
        if name == "status":
            console.print(status_text(data["status"]))
        elif name == "progress":
            console.print(f"{data['fraction']:.0%} {data['message']}")
        elif name == "log":
            console.print(log_text(data))


def _show_logs(lines: Iterable[dict[str, Any]], console: Console) -> None:
    _heading(console, "Log")
    ordered = sorted(lines, key=lambda line: str(line.get("@timestamp", "")))
    for line in ordered:
        console.print(log_text(line))
    if not ordered:
        console.print("no lines are kept (they are for JOURNAL_HOURS)")


def _heading(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold underline"))


def _print_table(table: Any, empty: str) -> None:
    make_console().print(table if table.row_count else empty)
