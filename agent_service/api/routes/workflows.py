"""`/workflows`: several agents as one graph."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Response, status
from fastapi.openapi.models import Example
from pydantic import BaseModel, JsonValue

from agent_service.api import problems
from agent_service.api.authentication import Caller
from agent_service.api.documentation import answers_problems
from agent_service.api.problems import ProblemError, input_errors
from agent_service.api.routing import KeyedRoute
from agent_service.api.services import ServicesDep
from agent_service.tasks.errors import InvalidInputError
from agent_service.workflows import WorkflowRun

router = APIRouter(
    tags=["workflows"],
    route_class=KeyedRoute,
    responses=answers_problems(problems.UNAUTHORIZED, problems.INVALID_REQUEST, problems.QUEUE_UNAVAILABLE),
)

# Two paths that differ only in the name of a parameter are the same to OpenAPI, so it has one name for both.
WorkflowName = Annotated[str, Path(alias="workflow", description="The workflow's name.", examples=["document-report"])]
WorkflowId = Annotated[
    str, Path(alias="workflow", description="The run's id.", examples=["0199aa5e-0000-7000-8000-000000000000"])
]
EXAMPLES = {
    "document": Example(
        summary="A report on a document",
        value={"title": "Notes", "text": "# Queue\n\nValkey keeps the queue. Workers take tasks from it."},
    )
}


class WorkflowDescription(BaseModel):
    """What a workflow does and takes.

    Attributes:
        input_schema: JSON Schema of what it takes.
    """

    name: str
    description: str
    input_schema: dict[str, Any]


@router.get("/workflows", summary="List workflows")
async def list_workflows(services: ServicesDep) -> list[WorkflowDescription]:
    """Return every workflow that can be started, by name."""
    return [
        WorkflowDescription(
            name=workflow.name,
            description=workflow.description,
            input_schema=workflow.input_model.model_json_schema(),
        )
        for _, workflow in sorted(services.workflows.items())
    ]


@router.post(
    "/workflows/{workflow}",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Start a workflow",
    response_description="Its first steps are in their queues.",
    responses=answers_problems(
        problems.WORKFLOW_NOT_FOUND,
        problems.BODY_TOO_LARGE,
        problems.INVALID_REQUEST,
        problems.INVALID_INPUT,
        problems.QUEUE_FULL,
    )
    | {202: {"headers": {"Location": {"description": "Where the run is read.", "schema": {"type": "string"}}}}},
)
def start_workflow(
    name: WorkflowName,
    payload: Annotated[dict[str, JsonValue], Body(openapi_examples=EXAMPLES)],
    response: Response,
    services: ServicesDep,
    caller: Caller,
) -> WorkflowRun:
    """Start a workflow; the body is its input."""
    try:
        run = services.runner.start(name, payload, submitted_by=caller)
    except InvalidInputError as error:
        raise ProblemError(problems.INVALID_INPUT, str(error), errors=input_errors(error, ())) from error
    response.headers["Location"] = f"/workflows/{run.id}"
    return run


@router.get(
    "/workflows/{workflow}", summary="Read a workflow's run", responses=answers_problems(problems.WORKFLOW_NOT_FOUND)
)
def get_workflow(workflow_id: WorkflowId, services: ServicesDep) -> WorkflowRun:
    """Return a run with the state of its steps, and with its result once it has one."""
    return services.runner.get(workflow_id)


@router.delete(
    "/workflows/{workflow}",
    summary="Cancel a workflow's run",
    responses=answers_problems(problems.WORKFLOW_NOT_FOUND, problems.INVALID_TRANSITION),
)
def cancel_workflow(workflow_id: WorkflowId, services: ServicesDep) -> WorkflowRun:
    """Cancel the steps that have not started and have the running ones stopped."""
    return services.runner.cancel(workflow_id)
