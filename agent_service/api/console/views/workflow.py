"""`/console/workflows/{id}`: one run of a workflow: its steps, its trace, and the log lines of its tasks."""

from __future__ import annotations

from itertools import islice
from typing import Final

from fastapi import Response

from agent_service.api.console.evidence import LogLine, log_lines, spans_of
from agent_service.api.console.forms import Form
from agent_service.api.console.rendering import Page
from agent_service.api.console.routing import Look, done
from agent_service.api.console.views.task import LINES_SHOWN, TEXT_LIMIT, links_of, window_of
from agent_service.api.console.waterfall import waterfall
from agent_service.workflows import WorkflowRun, WorkflowStatus

TASKS_SHOWN: Final = 100
"""Tasks of all steps whose states a page shows; a fan-out has up to a thousand."""
TASKS_READ: Final = 40
"""Tasks whose log lines a page reads."""


def workflow(look: Look) -> Page:
    """Show a run of a workflow."""
    run = look.services.runner.get(look.path["workflow_id"])
    ids = [task_id for step in run.steps for task_id in step.task_ids]
    tasks = {task.id: task for task in look.services.reader.get_many(ids[:TASKS_SHOWN])}
    spans = spans_of(look.console, run.trace_id)
    lines = _lines(look, ids)
    context = {
        "run": run,
        "tasks": tasks,
        "can_cancel": run.status is WorkflowStatus.RUNNING,
        "finished": sum(step.status.is_over for step in run.steps),
        "trace": waterfall(spans) if spans else None,
        "lines": lines[-LINES_SHOWN:],
        "lines_hidden": max(0, len(lines) - LINES_SHOWN),
        "result": _text_of(run),
        "links": links_of(run.links),
        "limit": TEXT_LIMIT,
        "journal_hours": look.services.settings.journal_hours,
    }
    return Page("workflow", f"Workflow {run.name}", context, charted=window_of(run.submitted_at, run.ended_at))


def cancel_workflow(look: Look, form: Form) -> Response:
    """Cancel a run of a workflow."""
    del form
    run = look.services.runner.cancel(look.path["workflow_id"])
    return done(f"/console/workflows/{run.id}", "canceled")


def _lines(look: Look, ids: list[str]) -> list[LogLine]:
    lines = [line for task_id in islice(ids, TASKS_READ) for line in log_lines(look.services.journal.events(task_id))]
    return sorted(lines, key=lambda line: line.at)


def _text_of(run: WorkflowRun) -> str | None:
    """Return the document that a run gave, where its result is one."""
    result = run.result
    text = result.get("markdown") if isinstance(result, dict) else None
    return text if isinstance(text, str) else None
