"""`/agents`: what can be asked of the service."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel

from agent_service.agents import AgentDefinition
from agent_service.api import problems
from agent_service.api.documentation import answers_problems
from agent_service.api.problems import ProblemError
from agent_service.api.routing import KeyedRoute
from agent_service.api.services import ServicesDep

router = APIRouter(tags=["agents"], route_class=KeyedRoute, responses=answers_problems(problems.UNAUTHORIZED))


class AgentDescription(BaseModel):
    """What an agent does, takes and gives.

    Attributes:
        timeout_seconds: Longest run of one attempt.
        retries: How often a failed run is tried again.
        concurrency: Most of its tasks that run at once; null where there is no limit.
        input_schema: JSON Schema of what it takes.
        result_schema: JSON Schema of what it gives.
    """

    name: str
    description: str
    version: str
    owner: str
    queue: str
    timeout_seconds: int
    retries: int
    concurrency: int | None
    input_schema: dict[str, Any]
    result_schema: dict[str, Any]


@router.get("/agents", summary="List agents")
async def list_agents(services: ServicesDep) -> list[AgentDescription]:
    """Return every agent that a task may name, by name."""
    default = services.settings.default_timeout_seconds
    return [_describe(services.agents[name], default) for name in services.agents.public_names()]


@router.get(
    "/agents/{name}",
    summary="Read an agent",
    responses=answers_problems(problems.AGENT_NOT_FOUND, problems.INVALID_REQUEST),
)
async def get_agent(
    name: Annotated[str, Path(description="The agent's name.", examples=["summarizer"])], services: ServicesDep
) -> AgentDescription:
    """Return one agent with the schemas of its input and its result."""
    if name not in services.agents.public_names():
        raise ProblemError(problems.AGENT_NOT_FOUND, f"there is no agent {name!r}")
    return _describe(services.agents[name], services.settings.default_timeout_seconds)


def _describe(agent: AgentDefinition[Any, Any], default_timeout: int) -> AgentDescription:
    return AgentDescription(
        name=agent.name,
        description=agent.description,
        version=agent.version,
        owner=agent.owner,
        queue=agent.queue,
        timeout_seconds=agent.timeout or default_timeout,
        retries=agent.retries.attempts - 1,
        concurrency=agent.concurrency,
        input_schema=agent.input_model.model_json_schema(),
        result_schema=agent.result_model.model_json_schema(mode="serialization"),
    )
