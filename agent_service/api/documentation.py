"""What the API says of itself: the OpenAPI document, and what operations share in it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from agent_service.api.authentication import ALERTS_SCHEME, ALERTS_SECURITY_SCHEME, SECURITY_SCHEMES
from agent_service.api.problems import INTERNAL_ERROR, MEDIA_TYPE, FieldError, Problem, ProblemKind

TAGS = [
    {"name": "tasks", "description": "Give an agent work, follow it, end it."},
    {"name": "agents", "description": "What can be asked of the service."},
    {"name": "dead letters", "description": "The tasks that failed for good: try them again, or drop them."},
    {"name": "workers", "description": "Who works, and whether they may."},
    {"name": "workflows", "description": "Several agents as one graph."},
    {"name": "profiles", "description": "Where time and memory go, down to the line."},
    {"name": "incidents", "description": "From an alert to what was learned from it."},
    {"name": "service", "description": "Whether the service is well."},
]
OPEN: dict[str, Any] = {"security": []}
"""For `openapi_extra` of an operation that needs no key."""
FOR_ALERTMANAGER: dict[str, Any] = {"security": [{ALERTS_SCHEME: []}]}
"""For `openapi_extra` of an operation that needs Alertmanager's token."""


class AgentApi(FastAPI):
    """FastAPI with an OpenAPI document that knows of the API keys and of problem+json."""

    def openapi(self) -> dict[str, Any]:
        """Return the document, made once."""
        document = super().openapi()
        components = document.setdefault("components", {})
        components["securitySchemes"] = SECURITY_SCHEMES | {ALERTS_SCHEME: ALERTS_SECURITY_SCHEME}
        for model in (Problem, FieldError):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            components.setdefault("schemas", {})[model.__name__] = schema
        document["security"] = [{name: []} for name in SECURITY_SCHEMES]
        return document


def answers_problems(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """Return the documented error answers of an operation that may end in these problems."""
    by_status: dict[int, list[ProblemKind]] = {}
    for kind in (*kinds, INTERNAL_ERROR):
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _answer(same) for status, same in sorted(by_status.items())}


def operation_id(route: APIRoute) -> str:
    """Return the name of the function behind a route, which is what a generated client calls it."""
    return route.name


def _answer(kinds: list[ProblemKind]) -> dict[str, Any]:
    examples = {
        kind.slug: {
            "summary": kind.title,
            "value": {
                "type": kind.type,
                "title": kind.title,
                "status": kind.status,
                "detail": kind.cause,
                "instance": "/tasks",
            },
        }
        for kind in kinds
    }
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}}
    answer: dict[str, Any] = {"description": "; ".join(kind.title for kind in kinds), "content": content}
    if any(kind.retry_after is not None for kind in kinds):
        schema = {"type": "integer", "minimum": 1}
        answer["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": schema}}
    return answer
