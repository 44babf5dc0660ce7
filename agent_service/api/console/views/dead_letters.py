"""`/console/dead-letters`: the tasks that failed for good: look into them, retry them, drop them, many at once."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from fastapi import Response

from agent_service.api.console.forms import Form
from agent_service.api.console.rendering import Page
from agent_service.api.console.routing import Look, done

ROWS: Final = 50
MANY_LIMIT: Final = 1_000
"""Tasks that one request retries or drops."""
FILTERS: Final = ("agent", "queue")


def dead_letters(look: Look) -> Page:
    """Show a page of failed tasks."""
    chosen = {name: look.query.get(name, "") for name in FILTERS}
    offset = look.query.get("offset", "")
    page = look.services.dead_letters.page(
        agent=chosen["agent"] or None,
        queue=chosen["queue"] or None,
        limit=ROWS,
        offset=int(offset) if offset.isdecimal() and len(offset) < 9 else 0,
    )
    stats = look.console.monitor.snapshot.stats
    context = {
        "page": page,
        "filters": chosen,
        "agents": look.services.agents.public_names(),
        "queues": sorted(stats.tasks if stats else look.services.settings.worker_queues),
        "next": _address({**chosen, "offset": str(page.next_offset)}) if page.next_offset is not None else None,
        "first": _address(chosen) if offset else None,
        "many": MANY_LIMIT,
    }
    return Page("dead_letters", "Dead letters", context)


def change(look: Look, form: Form) -> Response:
    """Retry or drop the chosen tasks, or all that match the filter."""
    chosen = {name: form.get(name, "") for name in FILTERS}
    what = form.get("what", "")
    letters = look.services.dead_letters
    if form.get("scope") == "all":
        ids = letters.matching(agent=chosen["agent"] or None, queue=chosen["queue"] or None, limit=MANY_LIMIT)
    else:
        ids = form.every("task")[:MANY_LIMIT]
    if not ids or what not in {"retry", "drop"}:
        return done(_address(chosen), "none-chosen")
    if what == "retry":
        letters.retry(ids)
        return done(_address(chosen), "retried-some")
    letters.drop(ids)
    return done(_address(chosen), "dropped-some")


def _address(parts: dict[str, str]) -> str:
    query = urlencode({name: value for name, value in parts.items() if value})
    return f"/console/dead-letters{f'?{query}' if query else ''}"
