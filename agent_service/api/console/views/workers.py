"""`/console/workers`: what each worker does, and whether they may take tasks."""

from __future__ import annotations

from typing import Final

from fastapi import Response

from agent_service.api.console.forms import Form
from agent_service.api.console.monitor import WorkerLoad
from agent_service.api.console.rendering import Page
from agent_service.api.console.routing import Look, done
from agent_service.api.console.views.profile import profiles_of_workers
from agent_service.tasks.suspension import read_suspension, resume_workers, suspend_workers
from agent_service.tasks.workers import live_workers

TASKS_SHOWN: Final = 8
"""Tasks of one worker that a page names; an async agent may have many at once."""
MINUTES_LIMIT: Final = 24 * 60


def workers(look: Look) -> Page:
    """Show the live workers."""
    records = live_workers(look.services.redis)
    known = {load.record.name: load for load in look.console.monitor.snapshot.workers}
    ids = [task_id for record in records for task_id in record.task_ids[:TASKS_SHOWN]]
    context = {
        "rows": [(record, known.get(record.name) or WorkerLoad(record)) for record in records],
        "tasks": {task.id: task for task in look.services.reader.get_many(ids)},
        "shown": TASKS_SHOWN,
        "suspension": read_suspension(look.services.redis),
        "profiles": profiles_of_workers(look),
        "stats": look.console.monitor.snapshot.stats,
    }
    return Page("workers", "Workers", context)


def suspend(look: Look, form: Form) -> Response:
    """Let no worker take another task."""
    minutes = form.get("minutes", "")
    limited = minutes.isdecimal() and 1 <= int(minutes) <= MINUTES_LIMIT
    suspend_workers(look.services.writes, int(minutes) * 60 if limited else None)
    return done("/console/workers", "suspended")


def resume(look: Look, form: Form) -> Response:
    """Let the workers take tasks again."""
    del form
    resume_workers(look.services.writes)
    return done("/console/workers", "resumed")
