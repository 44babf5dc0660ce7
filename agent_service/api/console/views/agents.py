"""`/console/agents`: what each agent does, how it fares, and what it takes and gives."""

from __future__ import annotations

from agent_service.api import problems
from agent_service.api.console.monitor import AgentLoad
from agent_service.api.console.rendering import Page
from agent_service.api.console.routing import Look
from agent_service.api.console.views.profile import profiles_of_agent
from agent_service.api.problems import ProblemError
from agent_service.telemetry.profiles import ProfileKind

TASKS_SHOWN = 15
SCAN = 1_000


def agents(look: Look) -> Page:
    """Show all agents."""
    registry, loads = look.services.agents, look.console.monitor.snapshot.agents
    rows = [(registry[name], loads.get(name) or AgentLoad(name)) for name in registry.public_names()]
    return Page("agents", "Agents", {"rows": rows, "workflows": sorted(look.services.workflows.items())})


def agent(look: Look) -> Page:
    """Show one agent with its latest tasks.

    Raises:
        ProblemError: There is none of that name.
    """
    name = look.path["name"]
    registry = look.services.agents
    if name not in registry.public_names():
        raise ProblemError(problems.AGENT_NOT_FOUND, f"there is no agent {name!r}")
    definition = registry[name]
    context = {
        "agent": definition,
        "timeout": definition.timeout or look.services.settings.default_timeout_seconds,
        "load": look.console.monitor.snapshot.agents.get(name) or AgentLoad(name),
        "tasks": look.services.reader.page(agent=name, limit=TASKS_SHOWN, scan=SCAN).tasks,
        "profiles": profiles_of_agent(look, name),
        "kinds": list(ProfileKind),
        "input_schema": definition.input_model.model_json_schema(),
        "result_schema": definition.result_model.model_json_schema(mode="serialization"),
    }
    return Page("agent", f"Agent {name}", context)
