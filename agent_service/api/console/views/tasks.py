"""`/console/tasks`: the live list of tasks, by state, agent, queue and time; and the way to one by its id."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from fastapi import Response
from fastapi.responses import RedirectResponse

from agent_service.api.console.rendering import Page
from agent_service.api.console.routing import Look
from agent_service.tasks.errors import TaskNotFoundError
from agent_service.tasks.models import Task, TaskStatus
from agent_service.workflows import WorkflowNotFoundError

ROWS: Final = 50
SCAN: Final = 2_000
LEAST_PREFIX: Final = 6
FOUND_LIMIT: Final = 20
SPANS_OF_TIME: Final[Mapping[str, timedelta]] = {
    "5m": timedelta(minutes=5),
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
}
FILTERS: Final = ("state", "agent", "queue", "time", "cursor")


def task_list(look: Look) -> Page:
    """Show a page of tasks."""
    query = look.query
    state = query.get("state", "")
    span = SPANS_OF_TIME.get(query.get("time", ""))
    page = look.services.reader.page(
        agent=query.get("agent") or None,
        status=TaskStatus(state) if state in set(TaskStatus) else None,
        queue=query.get("queue") or None,
        since=datetime.now(UTC) - span if span else None,
        limit=ROWS,
        cursor=query.get("cursor") or None,
        scan=SCAN,
    )
    stats = look.console.monitor.snapshot.stats
    context = {
        "tasks": page.tasks,
        "filters": {name: query.get(name, "") for name in FILTERS},
        "is_filtered": any(query.get(name) for name in FILTERS),
        "states": [state.value for state in TaskStatus],
        "agents": look.services.agents.public_names(),
        "queues": sorted(stats.tasks if stats else look.services.settings.worker_queues),
        "times": list(SPANS_OF_TIME),
        "next": _with(look, cursor=page.next_cursor) if page.next_cursor else None,
        "first": _with(look, cursor="") if query.get("cursor") else None,
    }
    return Page("tasks", "Tasks", context)


def find(look: Look) -> Page | Response:
    """Lead to the task or workflow of an id; show what begins so where there is none of just that id."""
    wanted = look.query.get("id", "").strip()
    if wanted and (target := _path_of(look, wanted)):
        return RedirectResponse(target, 303)
    found = _starting_with(look, wanted.lower()) if len(wanted) >= LEAST_PREFIX else []
    if len(found) == 1:
        return RedirectResponse(f"/console/tasks/{found[0].id}", 303)
    return Page("find", "Search", {"wanted": wanted, "found": found, "least": LEAST_PREFIX}, is_live=False)


def _path_of(look: Look, wanted: str) -> str | None:
    try:
        return f"/console/tasks/{look.services.reader.get(wanted).id}"
    except TaskNotFoundError:
        pass
    try:
        return f"/console/workflows/{look.services.runner.get(wanted).id}"
    except WorkflowNotFoundError:
        return None


def _starting_with(look: Look, prefix: str) -> list[Task]:
    if not all(character in "0123456789abcdef-" for character in prefix):
        return []
    return look.services.reader.get_many(look.services.reader.starting_with(prefix, FOUND_LIMIT))


def _with(look: Look, **changes: str | None) -> str:
    parts = {name: look.query.get(name, "") for name in FILTERS} | {k: v or "" for k, v in changes.items()}
    query = urlencode({name: value for name, value in parts.items() if value})
    return f"/console/tasks{f'?{query}' if query else ''}"
