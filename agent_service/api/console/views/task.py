"""`/console/tasks/{id}`: one task with everything that is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from fastapi import Response

from agent_service.api.console.evidence import archived_lines, log_lines, spans_of
from agent_service.api.console.forms import Form, local_path
from agent_service.api.console.rendering import Page
from agent_service.api.console.routing import Look, done
from agent_service.api.console.views.profile import profiles_of_task
from agent_service.api.console.waterfall import waterfall
from agent_service.tasks.models import Task, TaskEvent, TaskEventKind, TaskStatus
from agent_service.tasks.spans import of_task

TEXT_LIMIT: Final = 20_000
"""Characters of an input, a result or a stack trace that a page shows."""
LINES_SHOWN: Final = 200
MARGIN_SECONDS: Final = 60.0
RETRIABLE: Final = frozenset({TaskStatus.FAILED, TaskStatus.STOPPED, TaskStatus.CANCELED})
TOOLS: Final[Mapping[str, str]] = {"grafana": "Grafana", "kibana": "Kibana", "jaeger": "Jaeger"}
"""The tools that a task or workflow has links to, by the links' names."""


def task(look: Look) -> Page:
    """Show a task."""
    found = look.services.reader.get(look.path["task_id"])
    events = look.services.journal.events(found.id)
    whole = spans_of(look.console, found.trace_id)
    spans = whole if look.query.get("trace") == "whole" else of_task(whole, found.id)
    lines = log_lines(events)
    if not lines and found.status.is_final:
        lines = archived_lines(look.console, found.id)
    context = {
        "task": found,
        "can_cancel": not found.status.is_final,
        "can_retry": found.status in RETRIABLE,
        "history": [event for event in events if event.kind is TaskEventKind.STATUS],
        "progress": _progress(found, events),
        "lines": lines[-LINES_SHOWN:],
        "lines_hidden": max(0, len(lines) - LINES_SHOWN),
        "trace": waterfall(spans) if spans else None,
        "others": len(whole) - len(spans),
        "links": links_of(found.links),
        "profiles": profiles_of_task(look, found),
        "limit": TEXT_LIMIT,
        "journal_hours": look.services.settings.journal_hours,
    }
    return Page("task", f"Task of {found.agent}", context, charted=window_of(found.submitted_at, found.ended_at))


def cancel(look: Look, form: Form) -> Response:
    """Cancel a waiting task, or have a running one stopped."""
    found = look.services.control.cancel(look.path["task_id"])
    return done(local_path(form.get("next"), f"/console/tasks/{found.id}"), "canceled")


def retry(look: Look, form: Form) -> Response:
    """Put an ended task into its queue again."""
    found = look.services.control.retry(look.path["task_id"])
    return done(local_path(form.get("next"), f"/console/tasks/{found.id}"), "retried")


def links_of(links: Mapping[str, str]) -> dict[str, str]:
    """Return the links to other tools, by the tools' names."""
    return {title: links[name] for name, title in TOOLS.items() if name in links}


def window_of(begin: datetime, end: datetime | None) -> tuple[float, float | None]:
    """Return the time around something, in Unix seconds."""
    return begin.timestamp() - MARGIN_SECONDS, end.timestamp() + MARGIN_SECONDS if end else None


def _progress(found: Task, events: list[TaskEvent]) -> dict[str, Any] | None:
    if found.status.is_final:
        return None
    if found.progress is not None:
        return found.progress.model_dump()
    return next((event.data for event in reversed(events) if event.kind is TaskEventKind.PROGRESS), None)
