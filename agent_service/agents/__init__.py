"""Agents: typed functions that the service runs. What a user's package imports is here."""

from agent_service.agents.context import Context, SubtaskError, TaskCanceledError
from agent_service.agents.definition import AgentDefinition, AgentDefinitionError, RetryPolicy, agent
from agent_service.agents.registry import AgentRegistry, UnknownAgentError, agent_module_names, agent_modules

__all__ = [
    "AgentDefinition",
    "AgentDefinitionError",
    "AgentRegistry",
    "Context",
    "RetryPolicy",
    "SubtaskError",
    "TaskCanceledError",
    "UnknownAgentError",
    "agent",
    "agent_module_names",
    "agent_modules",
]
