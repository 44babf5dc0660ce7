"""Draws tasks, workflows and log lines as text, with colour where the terminal has it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 100
"""Columns where there is no terminal that says its own."""
RESULT_LINES = 30

STATUS_STYLES = {
    "finished": "green",
    "failed": "red",
    "stopped": "yellow",
    "canceled": "yellow",
    "skipped": "yellow",
    "started": "cyan",
    "running": "cyan",
}
LEVEL_STYLES = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "bold red"}


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that writes plain text of a fixed width where nobody looks at a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, markup=False, width=None if stream.isatty() else PLAIN_WIDTH)


def status_text(status: str) -> Text:
    """Return a status in its colour."""
    return Text(status, style=STATUS_STYLES.get(status, ""))


def seconds_text(seconds: float) -> str:
    """Return a duration with the unit that suits it."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"


def amount_text(amount: float, metric: str) -> str:
    """Return how much a metric grew, in the unit that its name tells."""
    if "_seconds" in metric:
        return seconds_text(amount)
    if "_bytes" in metric:
        return f"{amount / 1e6:.1f} MB" if amount >= 1e5 else f"{amount / 1e3:.1f} kB"
    return f"{amount:.10g}"


def clock_text(moment: str | None) -> str:
    """Return a time of the API as the local date and time, or a dash."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "-"


def between_text(start: str | None, end: str | None) -> str:
    """Return how long it is from one time of the API to another, or a dash."""
    if not start or not end:
        return "-"
    return seconds_text(max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()))


def facts(rows: Mapping[str, str | Text | None]) -> Table:
    """Return names and values in two columns, without those that have no value."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    return table


def columns(*names: str) -> Table:
    """Return an empty table that stays readable without lines and colour; only its last column is folded."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(names, start=1):
        table.add_column(name, no_wrap=number < len(names), overflow="fold")
    return table


def task_facts(task: Mapping[str, Any]) -> Table:
    """Return what a task is and how it went."""
    progress = task.get("progress") or {}
    error = task.get("error") or {}
    return facts(
        {
            "task": task["id"],
            "agent": task["agent"],
            "status": status_text(task["status"]),
            "queue": task["queue"],
            "attempts": f"{task['attempts']} ({task['retries_left']} left)",
            "submitted": f"{clock_text(task['submitted_at'])} by {task['submitted_by'] or 'nobody'}",
            "waited": between_text(task["submitted_at"], task["started_at"]),
            "ran": between_text(task["started_at"], task["ended_at"]),
            "worker": task["worker"],
            "workflow": task["workflow_id"],
            "parent": task["parent_task_id"],
            "trace": task["trace_id"],
            "metadata": " ".join(f"{key}={value}" for key, value in task["metadata"].items()),
            "progress": f"{progress['fraction']:.0%} {progress['message']}" if progress else None,
            "error": Text(f"{error['type']}: {error['message']}", style="red") if error else None,
            "profiles": " ".join(task.get("profile_ids", ())),
        }
    )


def workflow_facts(run: Mapping[str, Any]) -> Table:
    """Return what a run of a workflow is and how it went."""
    return facts(
        {
            "workflow": run["id"],
            "name": run["name"],
            "status": status_text(run["status"]),
            "submitted": clock_text(run["submitted_at"]),
            "took": between_text(run["submitted_at"], run["ended_at"]),
            "trace": run["trace_id"],
            "error": Text(run["error"], style="red") if run["error"] else None,
        }
    )


def step_table(steps: list[dict[str, Any]]) -> Table:
    """Return the steps of a workflow and where they are."""
    table = columns("step", "agent", "status", "round", "tasks")
    for step in steps:
        ids = step["task_ids"]
        tasks = ids[0] if len(ids) == 1 else str(len(ids) or "-")
        table.add_row(step["name"], step["agent"], status_text(step["status"]), str(step["round"] or "-"), tasks)
    return table


def result_text(result: Any) -> Text:
    """Return a result as indented JSON, cut where it is long."""
    lines = json.dumps(result, indent=2, ensure_ascii=False).splitlines()
    more = [f"… {len(lines) - RESULT_LINES} more lines"] if len(lines) > RESULT_LINES else []
    return Text("\n".join([*lines[:RESULT_LINES], *more]))


def log_text(line: Mapping[str, Any]) -> Text:
    """Return one log line: time, level, message, labels, and what went wrong."""
    level = str(line.get("log", {}).get("level", "")).lower()
    moment = line.get("@timestamp")
    clock = datetime.fromisoformat(moment).astimezone().strftime("%H:%M:%S.%f")[:-3] if moment else ""
    text = Text.assemble(
        (f"{clock} ", "dim"), (f"{level:<8}", LEVEL_STYLES.get(level, "")), " ", str(line.get("message", ""))
    )
    labels = line.get("labels") or {}
    if labels:
        text.append("  " + " ".join(f"{name}={value}" for name, value in labels.items()), style="dim")
    error = line.get("error") or {}
    if error:
        text.append(f"\n{'':13}{error.get('type', '')}: {error.get('message', '')}", style="red")
    return text
