"""`/incidents`: read them, work on them, learn from them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from agent_service.api import problems
from agent_service.api.authentication import Caller
from agent_service.api.documentation import answers_problems
from agent_service.api.routing import KeyedRoute
from agent_service.api.services import ServicesDep
from agent_service.incidents import Incident, IncidentPage, IncidentStatus
from agent_service.incidents.models import NOTE_LIMIT, Name, Note

PAGE_LIMIT = 200
PAGE_DEFAULT = 50
LABEL_LIMIT = 200

router = APIRouter(
    tags=["incidents"],
    route_class=KeyedRoute,
    responses=answers_problems(problems.UNAUTHORIZED, problems.INVALID_REQUEST, problems.QUEUE_UNAVAILABLE),
)

IncidentId = Annotated[
    str, Path(description="The incident's id.", examples=["0199aa5e-0000-7000-8000-000000000000"], max_length=64)
]
By = Annotated[Name | None, Field(description="Who does it; without it, the name of the API key.", examples=["ada"])]
LabelFilter = Annotated[str | None, Query(max_length=LABEL_LIMIT)]
PersonalStep = Literal[
    IncidentStatus.ACKNOWLEDGED,
    IncidentStatus.INVESTIGATING,
    IncidentStatus.MITIGATED,
    IncidentStatus.RESOLVED,
    IncidentStatus.REVIEWED,
]


class Markdown(Response):
    """A Markdown document."""

    media_type = "text/markdown"


class JsonLines(StreamingResponse):
    """One JSON document a line."""

    media_type = "application/x-ndjson"


class StepRequest(BaseModel):
    """What becomes of an incident next."""

    model_config = ConfigDict(extra="forbid")

    step: PersonalStep = Field(description="One of the incident's `next_steps`.", examples=["acknowledged"])
    note: Note = Field(default="", description="What is to be known about it.", examples=["I am looking at it."])
    by: By = None


class NoteRequest(BaseModel):
    """Something to be known about an incident."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field(min_length=1, max_length=NOTE_LIMIT, examples=["The tool behind it answers 503 since nine."])
    by: By = None


class OwnerRequest(BaseModel):
    """Who takes care of an incident."""

    model_config = ConfigDict(extra="forbid")

    owner: Name | None = Field(description="A person or a team; null takes the owner away.", examples=["grace"])
    by: By = None


@router.get(
    "/incidents",
    summary="List incidents",
    response_description="Incidents without their alerts and their timeline, newest first.",
)
def list_incidents(
    services: ServicesDep,
    status: Annotated[IncidentStatus | None, Query(description="Only those in this state.")] = None,
    severity: LabelFilter = None,
    team: LabelFilter = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most incidents of a page.")] = PAGE_DEFAULT,
    cursor: Annotated[UUID | None, Query(description="`next_cursor` of the page before.")] = None,
) -> IncidentPage:
    """Page through the incidents.

    A page may be shorter than `limit`, even empty, while `next_cursor` says that there is more to look through.
    """
    return services.incidents.store.page(
        status=status, severity=severity, team=team, limit=limit, cursor=str(cursor) if cursor else None
    )


@router.get(
    "/incidents/export",
    response_class=JsonLines,
    summary="Export all incidents",
    response_description="One incident a line, as JSON, newest first.",
)
def export_incidents(services: ServicesDep) -> JsonLines:
    """Give every incident that is kept, in full."""
    lines = (incident.model_dump_json() + "\n" for incident in services.incidents.store.all())
    return JsonLines(_begun(lines))


@router.get(
    "/incidents/{incident_id}", summary="Read an incident", responses=answers_problems(problems.INCIDENT_NOT_FOUND)
)
def get_incident(incident_id: IncidentId, services: ServicesDep) -> Incident:
    """Return an incident with its alerts and its timeline."""
    return services.incidents.store.get(incident_id)


@router.post(
    "/incidents/{incident_id}/steps",
    summary="Take an incident a step further",
    responses=answers_problems(problems.INCIDENT_NOT_FOUND, problems.STEP_OUT_OF_ORDER, problems.BODY_TOO_LARGE),
)
def take_incident_step(
    incident_id: IncidentId, request: StepRequest, services: ServicesDep, caller: Caller
) -> Incident:
    """Acknowledge it, say that it is looked into, mitigated or resolved, or that its review is done.

    Who acknowledges an incident that nobody owns owns it from then on.
    """
    return services.incidents.take_step(incident_id, request.step, request.by or caller, request.note)


@router.post(
    "/incidents/{incident_id}/notes",
    summary="Write a note",
    responses=answers_problems(problems.INCIDENT_NOT_FOUND, problems.BODY_TOO_LARGE),
)
def add_incident_note(incident_id: IncidentId, request: NoteRequest, services: ServicesDep, caller: Caller) -> Incident:
    """Write something into the timeline, whatever the state is."""
    return services.incidents.add_note(incident_id, request.by or caller, request.note)


@router.post(
    "/incidents/{incident_id}/owner",
    summary="Hand an incident over",
    responses=answers_problems(problems.INCIDENT_NOT_FOUND, problems.BODY_TOO_LARGE),
)
def hand_incident_over(
    incident_id: IncidentId, request: OwnerRequest, services: ServicesDep, caller: Caller
) -> Incident:
    """Name who takes care of it."""
    return services.incidents.hand_over(incident_id, request.owner, request.by or caller)


@router.get(
    "/incidents/{incident_id}/review",
    response_class=Markdown,
    summary="Write the post-incident report",
    response_description="The report, in Markdown, with the questions that only people can answer left open.",
    responses=answers_problems(problems.INCIDENT_NOT_FOUND),
)
def review_incident(incident_id: IncidentId, services: ServicesDep) -> Markdown:
    """Put together the timeline, the alerts, the impact that Prometheus knows of, and links to that time."""
    return Markdown(services.reviewer.report(services.incidents.store.get(incident_id)))


def _begun(lines: Iterator[str]) -> Iterator[str]:
    """Ask for the first line before the answer begins, so that Redis being away is still a plain 503."""
    return chain(list(islice(lines, 1)), lines)
