"""`/console/profiles/{id}`: what a task or a worker did with its time or its memory, down to the line."""

from __future__ import annotations

from typing import Final

import orjson
from fastapi import Response

from agent_service.api import problems
from agent_service.api.console.forms import Form
from agent_service.api.console.rendering import Page
from agent_service.api.console.routing import Look, done
from agent_service.api.problems import ProblemError
from agent_service.tasks.models import Task
from agent_service.tasks.profiles import ProfileFilter, ProfileSummary, title_of
from agent_service.telemetry.identifiers import uuid7
from agent_service.telemetry.profiles import ProfileKind, flame_graph, speedscope

ROWS_SHOWN: Final = 50
TASK_PROFILES: Final = 10
AGENT_PROFILES: Final = 10
WORKER_PROFILES: Final = 5
LATEST: Final = 200
MAX_TASKS: Final = 100
MAX_SECONDS: Final = 300


def profile(look: Look) -> Page:
    """Show a profile: its flame graph, and its most expensive functions or lines."""
    summary, measured = look.services.profiles.get(look.path["profile_id"])
    hidden = max(0, len(measured.rows) - ROWS_SHOWN)
    context = {"profile": summary, "rows": measured.rows[:ROWS_SHOWN], "hidden": hidden}
    return Page("profile", f"Profile of {summary.agent or summary.worker}", context, is_live=False)


def picture(look: Look) -> Response:
    """Draw a profile's flame graph."""
    summary, measured = look.services.profiles.get(look.path["profile_id"])
    return Response(flame_graph(measured, title_of(summary)), media_type="image/svg+xml")


def speedscope_file(look: Look) -> Response:
    """Return a profile for speedscope and the editors that read its files."""
    summary, measured = look.services.profiles.get(look.path["profile_id"])
    headers = {"Content-Disposition": f'attachment; filename="{summary.id}.speedscope.json"'}
    document = orjson.dumps(speedscope(measured, title_of(summary)))
    return Response(document, media_type="application/json", headers=headers)


def profile_agent(look: Look, form: Form) -> Response:
    """Have an agent's next tasks profiled.

    Raises:
        ProblemError: There is no such agent, or the form asks for what cannot be had.
    """
    name = look.path["name"]
    if name not in look.services.agents.public_names():
        raise ProblemError(problems.AGENT_NOT_FOUND, f"there is no agent {name!r}")
    kind, tasks = _kind(form, list(ProfileKind)), _number(form, "tasks", MAX_TASKS)
    look.services.profiles.request_tasks(name, kind, tasks)
    return done(f"/console/agents/{name}", "profiling-agent")


def profile_worker(look: Look, form: Form) -> Response:
    """Have a worker profiled for a while.

    Raises:
        WorkerNotFoundError: There is no such worker.
        ProblemError: The form asks for what cannot be had.
    """
    worker = form.get("worker", "")
    kind = _kind(form, [ProfileKind.SAMPLE, ProfileKind.MEMORY])
    seconds = _number(form, "seconds", MAX_SECONDS)
    look.services.profiles.request_worker(worker, uuid7(), kind, seconds)
    return done("/console/workers", "profiling-worker")


def profiles_of_task(look: Look, task: Task) -> list[ProfileSummary]:
    """Return a task's profiles, newest first; without asking for them where it has none."""
    if not task.profile_ids:
        return []
    return look.services.profiles.find(ProfileFilter(task_id=task.id), TASK_PROFILES)


def profiles_of_agent(look: Look, agent: str) -> list[ProfileSummary]:
    """Return the latest profiles of an agent."""
    return look.services.profiles.find(ProfileFilter(agent=agent), AGENT_PROFILES)


def profiles_of_workers(look: Look) -> list[ProfileSummary]:
    """Return the latest profiles that are of a worker, not of a task."""
    latest = look.services.profiles.find(ProfileFilter(), LATEST)
    return [profile for profile in latest if profile.task_id is None][:WORKER_PROFILES]


def _kind(form: Form, allowed: list[ProfileKind]) -> ProfileKind:
    kind = form.get("kind", "")
    if kind not in allowed:
        raise ProblemError(problems.INVALID_REQUEST, f"kind is {kind!r}; it is one of {', '.join(allowed)}")
    return ProfileKind(kind)


def _number(form: Form, name: str, most: int) -> int:
    text = form.get(name, "")
    number = int(text) if text.isdecimal() and len(text) < 10 else 0
    if not 1 <= number <= most:
        raise ProblemError(problems.INVALID_REQUEST, f"{name} is {text!r}; it is a number from 1 to {most}")
    return number
