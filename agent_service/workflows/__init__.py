"""Workflows: several agents as one graph, run over the queue."""

from collections.abc import Iterable
from types import ModuleType

import agent_service.workflows.documents as documents
from agent_service.workflows.definition import Loop, OnFailure, Results, Step, Workflow, WorkflowDefinitionError
from agent_service.workflows.registry import UnknownWorkflowError, WorkflowRegistry
from agent_service.workflows.runner import WorkflowNotFoundError, WorkflowRunner
from agent_service.workflows.state import WorkflowRun, WorkflowStatus


def load_workflows(modules: Iterable[ModuleType]) -> WorkflowRegistry:
    """Return the built-in workflows and those in the modules that hold agents.

    Raises:
        WorkflowDefinitionError: Two different workflows have the same name.
    """
    return WorkflowRegistry([documents, *modules])


__all__ = [
    "Loop",
    "OnFailure",
    "Results",
    "Step",
    "UnknownWorkflowError",
    "Workflow",
    "WorkflowDefinitionError",
    "WorkflowNotFoundError",
    "WorkflowRegistry",
    "WorkflowRun",
    "WorkflowRunner",
    "WorkflowStatus",
    "load_workflows",
]
