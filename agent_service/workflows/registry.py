"""Finds the workflows in the modules that also hold the agents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType

from agent_service.workflows.definition import Workflow, WorkflowDefinitionError


class UnknownWorkflowError(KeyError):
    """No workflow of that name is registered."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.message = f"there is no workflow {name!r}; there are {', '.join(sorted(known)) or 'none'}"
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


class WorkflowRegistry(Mapping[str, Workflow]):
    """The workflows by name."""

    def __init__(self, modules: Iterable[ModuleType]) -> None:
        """Collect the workflows of `modules`.

        Raises:
            WorkflowDefinitionError: Two different workflows have the same name.
        """
        self._workflows: dict[str, Workflow] = {}
        for module in modules:
            for value in vars(module).values():
                if isinstance(value, Workflow) and self._workflows.setdefault(value.name, value) is not value:
                    raise WorkflowDefinitionError(f"two workflows are named {value.name!r}")

    def __getitem__(self, name: str) -> Workflow:
        """Return the workflow of that name.

        Raises:
            UnknownWorkflowError: There is none.
        """
        try:
            return self._workflows[name]
        except KeyError:
            raise UnknownWorkflowError(name, self._workflows) from None

    def __contains__(self, name: object) -> bool:
        return name in self._workflows

    def __iter__(self) -> Iterator[str]:
        return iter(self._workflows)

    def __len__(self) -> int:
        return len(self._workflows)
