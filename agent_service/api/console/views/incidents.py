"""`/console/incidents`: what is wrong, who takes care of it, what was done, and what was learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from fastapi import Response
from pydantic import TypeAdapter, ValidationError

from agent_service.api import problems
from agent_service.api.console.forms import Form
from agent_service.api.console.markdown import render
from agent_service.api.console.rendering import Page
from agent_service.api.console.routing import Look, done
from agent_service.api.problems import FieldError, ProblemError
from agent_service.incidents import IncidentStatus
from agent_service.incidents.models import NAME_LIMIT, NOTE_LIMIT, Name

ROWS: Final = 50
ALERTS_SHOWN: Final = 50
STEP_WORDS: Final[Mapping[IncidentStatus, str]] = {
    IncidentStatus.ACKNOWLEDGED: "Acknowledge",
    IncidentStatus.INVESTIGATING: "Investigate",
    IncidentStatus.MITIGATED: "Mark as mitigated",
    IncidentStatus.RESOLVED: "Resolve",
    IncidentStatus.REVIEWED: "Mark as reviewed",
}
_name = TypeAdapter(Name)


def incidents(look: Look) -> Page:
    """Show the incidents, those that are not over first."""
    state, cursor = look.query.get("state", ""), look.query.get("cursor", "")
    store = look.services.incidents.store
    page = store.page(
        status=IncidentStatus(state) if state in set(IncidentStatus) else None, limit=ROWS, cursor=cursor or None
    )
    context = {
        "incidents": page.incidents,
        "active": len(store.active()),
        "state": state,
        "states": [status.value for status in IncidentStatus],
        "next": page.next_cursor,
        "first": bool(cursor),
    }
    return Page("incidents", "Incidents", context)


def incident(look: Look) -> Page:
    """Show one incident."""
    found = look.services.incidents.store.get(look.path["incident_id"])
    context = {
        "incident": found,
        "steps": [(step.value, STEP_WORDS[step]) for step in found.next_steps],
        "alerts": found.alerts[:ALERTS_SHOWN],
        "alerts_hidden": max(0, len(found.alerts) - ALERTS_SHOWN),
        "timeline": found.timeline[::-1],
        "runbook": _runbook(look, found.runbook_url),
        "note_limit": NOTE_LIMIT,
        "name_limit": NAME_LIMIT,
    }
    return Page("incident", found.title, context)


def review(look: Look) -> Page:
    """Show the post-incident report."""
    found = look.services.incidents.store.get(look.path["incident_id"])
    _, report = render(look.services.reviewer.report(found))
    return Page("review", f"Review: {found.title}", {"incident": found, "report": report}, is_live=False)


def take_step(look: Look, form: Form) -> Response:
    """Take an incident a step further.

    Raises:
        ProblemError: There is no such step, or the note is too long.
    """
    step = form.get("step", "")
    if step not in {word.value for word in STEP_WORDS}:
        raise ProblemError(problems.INVALID_REQUEST, f"there is no step {step!r}")
    look.services.incidents.take_step(
        look.path["incident_id"], IncidentStatus(step), look.caller, _note(form, is_needed=False)
    )
    return done(_address(look), "stepped")


def add_note(look: Look, form: Form) -> Response:
    """Write a note into the timeline.

    Raises:
        ProblemError: The note is empty or too long.
    """
    look.services.incidents.add_note(look.path["incident_id"], look.caller, _note(form, is_needed=True))
    return done(_address(look), "noted")


def hand_over(look: Look, form: Form) -> Response:
    """Name who takes care of it; nobody where the name is empty.

    Raises:
        ProblemError: The name cannot be one.
    """
    try:
        owner = _name.validate_python(form.get("owner", "").strip()) if form.get("owner", "").strip() else None
    except ValidationError as error:
        raise ProblemError(
            problems.INVALID_REQUEST, f"a name is one line of at most {NAME_LIMIT} characters"
        ) from error
    look.services.incidents.hand_over(look.path["incident_id"], owner, look.caller)
    return done(_address(look), "owned")


def _note(form: Form, *, is_needed: bool) -> str:
    note = form.get("note", "").replace("\r\n", "\n").strip()
    if len(note) > NOTE_LIMIT or (is_needed and not note):
        detail = f"a note has 1 to {NOTE_LIMIT} characters"
        raise ProblemError(problems.INVALID_REQUEST, detail, errors=[FieldError(pointer="#/note", detail=detail)])
    return note


def _address(look: Look) -> str:
    return f"/console/incidents/{look.path['incident_id']}"


def _runbook(look: Look, url: str | None) -> str | None:
    """Return the path of the runbook here, where there is one, else the link that the alert has."""
    if not url:
        return None
    path = urlsplit(url).path
    name = path.rpartition("/")[2]
    if path.startswith("/runbooks/") and look.services.runbooks.text(name) is not None:
        return f"/runbooks/{name}"
    return url if urlsplit(url).scheme in {"http", "https"} else None
