"""`/profiles`: what tasks, agents and workers did with their time or their memory, down to the line."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response, status
from pydantic import BaseModel, ConfigDict, Field

from agent_service.api import problems
from agent_service.api.documentation import answers_problems
from agent_service.api.problems import ProblemError
from agent_service.api.routing import KeyedRoute
from agent_service.api.services import ServicesDep
from agent_service.tasks.profiles import Profile, ProfileFilter, ProfileList, links_of, title_of
from agent_service.telemetry.identifiers import uuid7
from agent_service.telemetry.profiles import ProfileKind, flame_graph, speedscope

PAGE_LIMIT = 200
PAGE_DEFAULT = 50

router = APIRouter(
    tags=["profiles"],
    route_class=KeyedRoute,
    responses=answers_problems(problems.UNAUTHORIZED, problems.INVALID_REQUEST, problems.QUEUE_UNAVAILABLE),
)

ProfileId = Annotated[
    str, Path(description="The profile's id.", examples=["0199aa5e-0000-7000-8000-000000000000"], max_length=64)
]
NameFilter = Annotated[str | None, Query(max_length=255)]


class Svg(Response):
    """A drawing."""

    media_type = "image/svg+xml"


class AgentProfileRequest(BaseModel):
    """How the next tasks of an agent are profiled."""

    model_config = ConfigDict(extra="forbid")

    kind: ProfileKind = Field(description="Function calls, lines, samples or memory.", examples=["line"])
    tasks: int = Field(default=1, ge=1, le=100, description="How many tasks.")


class AgentProfileRequested(AgentProfileRequest):
    """What was asked for; the profiles appear under `GET /profiles?agent=`."""

    agent: str


class WorkerProfileRequest(BaseModel):
    """How a worker is profiled."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["sample", "memory"] = Field(
        default="sample", description="Calls and lines belong to an agent, and are profiled there."
    )
    seconds: float = Field(default=10, ge=1, le=300, description="For how long.")


class WorkerProfileRequested(WorkerProfileRequest):
    """What was asked for; the profile is there shortly after those seconds."""

    worker: str
    profile_id: str
    links: dict[str, str]


@router.post(
    "/agents/{name}/profile",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Profile an agent's next tasks",
    response_description="The workers know; that many of the tasks that start from now on are profiled.",
    responses=answers_problems(problems.AGENT_NOT_FOUND, problems.BODY_TOO_LARGE),
)
def profile_agent(
    name: Annotated[str, Path(description="The agent's name.", examples=["summarizer"])],
    request: AgentProfileRequest,
    services: ServicesDep,
) -> AgentProfileRequested:
    """Have the next tasks of an agent profiled, on whichever workers they run; this replaces an earlier request."""
    if name not in services.agents.public_names():
        raise ProblemError(problems.AGENT_NOT_FOUND, f"there is no agent {name!r}")
    services.profiles.request_tasks(name, request.kind, request.tasks)
    return AgentProfileRequested(agent=name, kind=request.kind, tasks=request.tasks)


@router.post(
    "/workers/{name}/profile",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Profile a worker",
    response_description="The worker was told.",
    responses=answers_problems(problems.WORKER_NOT_FOUND, problems.BODY_TOO_LARGE),
)
def profile_worker(
    name: Annotated[str, Path(description="The worker's name; see GET /workers.", max_length=255)],
    request: WorkerProfileRequest,
    services: ServicesDep,
) -> WorkerProfileRequested:
    """Profile everything that a worker's child does for a while."""
    profile_id = uuid7()
    services.profiles.request_worker(name, profile_id, ProfileKind(request.kind), request.seconds)
    return WorkerProfileRequested(
        worker=name,
        kind=request.kind,
        seconds=request.seconds,
        profile_id=profile_id,
        links=links_of(profile_id),
    )


@router.get("/profiles", summary="List profiles", response_description="Profiles without their tables, newest first.")
def list_profiles(
    services: ServicesDep,
    task_id: NameFilter = None,
    agent: NameFilter = None,
    worker: NameFilter = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most profiles.")] = PAGE_DEFAULT,
) -> ProfileList:
    """Return the profiles that are kept: of one task, agent or worker, or all."""
    return ProfileList(profiles=services.profiles.find(ProfileFilter(task_id, agent, worker), limit))


@router.get("/profiles/{profile_id}", summary="Read a profile", responses=answers_problems(problems.PROFILE_NOT_FOUND))
def get_profile(profile_id: ProfileId, services: ServicesDep) -> Profile:
    """Return a profile with its table by function or line, most expensive first."""
    summary, measured = services.profiles.get(profile_id)
    return Profile(**summary.model_dump(), rows=measured.rows)


@router.get(
    "/profiles/{profile_id}/flamegraph.svg",
    response_class=Svg,
    summary="Draw a flame graph",
    response_description="An SVG without script and style.",
    responses=answers_problems(problems.PROFILE_NOT_FOUND),
)
def draw_flame_graph(profile_id: ProfileId, services: ServicesDep) -> Svg:
    """Draw the stacks, the outermost frame on top; a frame's title says what it is."""
    summary, measured = services.profiles.get(profile_id)
    return Svg(flame_graph(measured, title_of(summary)))


@router.get(
    "/profiles/{profile_id}/speedscope.json",
    summary="Export to speedscope",
    response_description="A file that https://www.speedscope.app and many editors open.",
    responses=answers_problems(problems.PROFILE_NOT_FOUND),
)
def export_speedscope(profile_id: ProfileId, services: ServicesDep) -> dict[str, Any]:
    """Return the stacks in the format of speedscope."""
    summary, measured = services.profiles.get(profile_id)
    return speedscope(measured, title_of(summary))
