"""Finds the agents: the built-in ones, those of installed packages, and those that a setting names."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from agent_service.agents.definition import AgentDefinition, AgentDefinitionError

ENTRY_POINT_GROUP = "agent_service.agents"
BUILT_IN_MODULES = ("agent_service.agents.documents",)
FAULT_MODULE = "agent_service.agents.faults"


class UnknownAgentError(KeyError):
    """No agent of that name is registered."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.message = f"there is no agent {name!r}; there are {', '.join(sorted(known)) or 'none'}"
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


def agent_module_names(names: Iterable[str], *, faults: bool) -> list[str]:
    """Return the modules that may hold agents, in the order built-in, installed packages, settings.

    Args:
        names: Modules that a setting names.
        faults: Whether the fault agents are allowed.
    """
    installed = [point.module for point in entry_points(group=ENTRY_POINT_GROUP)]
    return list(dict.fromkeys((*BUILT_IN_MODULES, *((FAULT_MODULE,) if faults else ()), *installed, *names)))


def agent_modules(names: Iterable[str], *, faults: bool) -> list[ModuleType]:
    """Import every module that may hold agents.

    Args:
        names: Modules that a setting names.
        faults: Whether the fault agents are allowed.

    Raises:
        AgentDefinitionError: A module cannot be imported; the message names it.
    """
    modules = []
    for name in agent_module_names(names, faults=faults):
        try:
            modules.append(importlib.import_module(name))
        # A user's module can fail in any way while it is imported; each must end in a message that names it.
        except Exception as error:
            raise AgentDefinitionError(f"the agent module {name!r} cannot be imported: {error}") from error
    return modules


class AgentRegistry(Mapping[str, AgentDefinition[Any, Any]]):
    """The agents by name."""

    def __init__(self, modules: Iterable[ModuleType]) -> None:
        """Collect the agents of `modules`.

        Raises:
            AgentDefinitionError: Two different agents have the same name.
        """
        self._agents: dict[str, AgentDefinition[Any, Any]] = {}
        for module in modules:
            for value in vars(module).values():
                if isinstance(value, AgentDefinition):
                    self.add(value)

    def add(self, definition: AgentDefinition[Any, Any]) -> None:
        """Add one agent.

        Raises:
            AgentDefinitionError: Another agent has its name.
        """
        other = self._agents.setdefault(definition.name, definition)
        if other is not definition:
            raise AgentDefinitionError(
                f"two agents are named {definition.name!r}: "
                f"{other.function.__module__}.{other.function.__qualname__} and "
                f"{definition.function.__module__}.{definition.function.__qualname__}"
            )

    def __getitem__(self, name: str) -> AgentDefinition[Any, Any]:
        """Return the agent of that name.

        Raises:
            UnknownAgentError: There is none.
        """
        try:
            return self._agents[name]
        except KeyError:
            raise UnknownAgentError(name, self.public_names()) from None

    def __contains__(self, name: object) -> bool:
        return name in self._agents

    def __iter__(self) -> Iterator[str]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)

    def public_names(self) -> list[str]:
        """Return the names of the agents that clients may use, sorted."""
        return sorted(name for name, definition in self._agents.items() if not definition.internal)
