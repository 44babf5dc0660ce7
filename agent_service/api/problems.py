"""Every error that the API answers, as `application/problem+json` (RFC 9457).

A kind of problem is a page too: its `type` leads to `GET /problems/{slug}`, which says what causes it and what to do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from agent_service.agents import UnknownAgentError
from agent_service.incidents import IncidentNotFoundError, StepOutOfOrderError
from agent_service.tasks.errors import (
    IdempotencyBusyError,
    IdempotencyMismatchError,
    InvalidCallbackError,
    InvalidInputError,
    InvalidTransitionError,
    ProfileNotFoundError,
    QueueFullError,
    QueueUnavailableError,
    TaskNotFoundError,
    WorkerNotFoundError,
)
from agent_service.telemetry.traces import current_trace_id
from agent_service.workflows import UnknownWorkflowError, WorkflowNotFoundError

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
BUSY_SECONDS: Final = 1
FULL_SECONDS: Final = 5
AWAY_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem.

    Attributes:
        slug: The last part of its `type`.
        status: The HTTP status.
        title: What it is, in a few words; the same at every occurrence.
        cause: When it happens.
        remedy: What a client does about it.
        retry_after: Seconds after which the same request may succeed; None where it never will.
    """

    slug: str
    status: int
    title: str
    cause: str
    remedy: str
    retry_after: int | None = None

    @property
    def type(self) -> str:
        """The URI reference that names the kind, and where it is explained."""
        return f"/problems/{self.slug}"


UNAUTHORIZED: Final = ProblemKind(
    "unauthorized",
    401,
    "No valid API key",
    "The request carries no API key, or one that is not configured here.",
    "Send a key as `Authorization: Bearer <key>` or `X-API-Key: <key>`. `make init` makes one; API_KEYS_SHA256 lists "
    "the digests of those that are valid.",
)
ALERTS_UNAUTHORIZED: Final = ProblemKind(
    "alerts-unauthorized",
    401,
    "No valid token for alerts",
    "The notification carries no token for alerts, or another one than is configured here. API keys do not count.",
    "Let Alertmanager send ALERTS_TOKEN as `Authorization: Bearer <token>` (http_config, authorization, "
    "credentials_file); ALERTS_TOKEN_SHA256 is its digest. `make init` makes both.",
)
NOT_FOUND: Final = ProblemKind(
    "not-found",
    404,
    "Nothing is here",
    "No operation of this API has that path.",
    "Compare the path with those in /docs. Paths do not end in a slash.",
)
TASK_NOT_FOUND: Final = ProblemKind(
    "task-not-found",
    404,
    "No such task",
    "No task has that id: it never existed, or its time to live is over.",
    "Check the id. Results are kept for RESULT_TTL_SECONDS, failures for FAILURE_TTL_SECONDS.",
)
AGENT_NOT_FOUND: Final = ProblemKind(
    "agent-not-found", 404, "No such agent", "No agent has that name.", "Choose one of those that GET /agents lists."
)
WORKFLOW_NOT_FOUND: Final = ProblemKind(
    "workflow-not-found",
    404,
    "No such workflow",
    "No workflow has that name, or no run of one has that id.",
    "Choose a name that GET /workflows lists, or an id that POST /workflows/{name} gave.",
)
INCIDENT_NOT_FOUND: Final = ProblemKind(
    "incident-not-found",
    404,
    "No such incident",
    "No incident has that id: it never existed, or it was resolved longer than INCIDENT_DAYS ago.",
    "Choose one of those that GET /incidents lists.",
)
PROFILE_NOT_FOUND: Final = ProblemKind(
    "profile-not-found",
    404,
    "No such profile",
    "No profile has that id: it is not taken yet, it never was, or it is gone after PROFILE_DAYS or behind newer ones "
    "of its agent.",
    "Choose one of those that GET /profiles lists, or profile again.",
)
WORKER_NOT_FOUND: Final = ProblemKind(
    "worker-not-found",
    404,
    "No such worker",
    "No live worker of this service has that name; a stock RQ worker does not count.",
    "Choose one of those that GET /workers lists.",
)
PROBLEM_NOT_FOUND: Final = ProblemKind(
    "problem-not-found", 404, "No such problem", "No kind of problem has that name.", "Take the `type` of a problem."
)
METHOD_NOT_ALLOWED: Final = ProblemKind(
    "method-not-allowed",
    405,
    "This cannot be done here",
    "The path exists, but not with that method.",
    "Use one of the methods in the Allow header.",
)
INVALID_TRANSITION: Final = ProblemKind(
    "invalid-transition",
    409,
    "The task is in another state",
    "Only waiting and running tasks are canceled; only failed, stopped and canceled ones are retried.",
    "Read the task again and decide by its status.",
)
STEP_OUT_OF_ORDER: Final = ProblemKind(
    "step-out-of-order",
    409,
    "The step does not follow",
    "An incident goes from open over acknowledged, investigating and mitigated to resolved and reviewed; this step may "
    "not come after its present state.",
    "Take one of the steps that the detail names; `next_steps` of the incident lists them too.",
)
IDEMPOTENCY_KEY_BUSY: Final = ProblemKind(
    "idempotency-key-busy",
    409,
    "The idempotency key is in use",
    "A request with the same Idempotency-Key is being handled at this moment.",
    "Send the same request again after the time in Retry-After; it then answers with the first one's task.",
    retry_after=BUSY_SECONDS,
)
BODY_TOO_LARGE: Final = ProblemKind(
    "body-too-large",
    413,
    "The body is too large",
    "The request's body is longer than MAX_BODY_BYTES.",
    "Send less at once, for example a batch in several parts, or a reference to the document.",
)
INVALID_REQUEST: Final = ProblemKind(
    "invalid-request",
    422,
    "The request is not valid",
    "The body is no JSON, or the body, a header or a parameter does not fit the operation's schema.",
    "Correct what `errors` names: `pointer` leads into the body, `parameter` names a parameter or header.",
)
UNKNOWN_AGENT: Final = ProblemKind(
    "unknown-agent",
    422,
    "There is no such agent",
    "The task names an agent that this service does not have.",
    "Choose one of those that GET /agents lists.",
)
INVALID_INPUT: Final = ProblemKind(
    "invalid-input",
    422,
    "The input does not fit",
    "The agent or workflow refuses the input.",
    "Correct the fields that `errors` points at; GET /agents/{name} and GET /workflows give the schemas.",
)
INVALID_CALLBACK: Final = ProblemKind(
    "invalid-callback",
    422,
    "The callback URL may not be called",
    "The URL is none, cannot be resolved, or leads to a private address.",
    "Use a public http(s) URL. CALLBACK_ALLOW_PRIVATE=true allows calls into the service's own network.",
)
IDEMPOTENCY_KEY_REUSED: Final = ProblemKind(
    "idempotency-key-reused",
    422,
    "The idempotency key was used for another body",
    "An Idempotency-Key stands for one request body for a day.",
    "Use a new key for a new task, and an old one only to repeat its very request.",
)
QUEUE_FULL: Final = ProblemKind(
    "queue-full",
    429,
    "The queue is full",
    "The agent's queue holds as many tasks as MAX_QUEUE_TASKS allows. The task was not accepted.",
    "Send it again after the time in Retry-After. If that does not help, add workers.",
    retry_after=FULL_SECONDS,
)
INTERNAL_ERROR: Final = ProblemKind(
    "internal-error",
    500,
    "The service failed",
    "A fault of the service itself.",
    "Give the `trace_id` to the service's owner; the trace and the log lines of that id say what happened.",
)
QUEUE_UNAVAILABLE: Final = ProblemKind(
    "queue-unavailable",
    503,
    "The queue server does not answer",
    "Redis is away or being restarted. Nothing was acknowledged, so no accepted task is lost.",
    "Send the request again after the time in Retry-After, with an Idempotency-Key so that it cannot count twice.",
    retry_after=AWAY_SECONDS,
)

KINDS: Final[Mapping[str, ProblemKind]] = {
    kind.slug: kind
    for kind in (
        UNAUTHORIZED,
        ALERTS_UNAUTHORIZED,
        NOT_FOUND,
        TASK_NOT_FOUND,
        AGENT_NOT_FOUND,
        WORKFLOW_NOT_FOUND,
        INCIDENT_NOT_FOUND,
        PROFILE_NOT_FOUND,
        WORKER_NOT_FOUND,
        PROBLEM_NOT_FOUND,
        METHOD_NOT_ALLOWED,
        INVALID_TRANSITION,
        STEP_OUT_OF_ORDER,
        IDEMPOTENCY_KEY_BUSY,
        BODY_TOO_LARGE,
        INVALID_REQUEST,
        UNKNOWN_AGENT,
        INVALID_INPUT,
        INVALID_CALLBACK,
        IDEMPOTENCY_KEY_REUSED,
        QUEUE_FULL,
        INTERNAL_ERROR,
        QUEUE_UNAVAILABLE,
    )
}
"""Every kind by its slug."""

_KIND_OF_ERROR: Final[Mapping[type[Exception], ProblemKind]] = {
    TaskNotFoundError: TASK_NOT_FOUND,
    ProfileNotFoundError: PROFILE_NOT_FOUND,
    WorkerNotFoundError: WORKER_NOT_FOUND,
    InvalidTransitionError: INVALID_TRANSITION,
    InvalidInputError: INVALID_INPUT,
    InvalidCallbackError: INVALID_CALLBACK,
    IdempotencyMismatchError: IDEMPOTENCY_KEY_REUSED,
    IdempotencyBusyError: IDEMPOTENCY_KEY_BUSY,
    QueueFullError: QUEUE_FULL,
    QueueUnavailableError: QUEUE_UNAVAILABLE,
    RedisError: QUEUE_UNAVAILABLE,
    UnknownAgentError: UNKNOWN_AGENT,
    UnknownWorkflowError: WORKFLOW_NOT_FOUND,
    WorkflowNotFoundError: WORKFLOW_NOT_FOUND,
    IncidentNotFoundError: INCIDENT_NOT_FOUND,
    StepOutOfOrderError: STEP_OUT_OF_ORDER,
    RequestValidationError: INVALID_REQUEST,
}
_KIND_OF_STATUS: Final[Mapping[int, ProblemKind]] = {
    404: NOT_FOUND,
    405: METHOD_NOT_ALLOWED,
}


class FieldError(BaseModel):
    """One fault of a request.

    Attributes:
        pointer: Where in the body, as a JSON pointer in the form of a URI fragment (RFC 6901).
        parameter: Which parameter or header, where it is not in the body.
        detail: What is wrong with it.
    """

    pointer: str | None = Field(default=None, examples=["#/input/text"])
    parameter: str | None = Field(default=None, examples=["limit"])
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="Names the kind of problem and leads to its explanation.")
    title: str
    status: int
    detail: str = Field(description="What went wrong this time.")
    instance: str = Field(description="The path that was asked for.")
    errors: list[FieldError] | None = Field(default=None, description="The faults of the request, one by one.")
    trace_id: str | None = Field(default=None, description="The trace of the request.")


class ProblemError(HTTPException):
    """Raised where the API itself refuses a request.

    Attributes:
        kind: What kind of problem it is.
        errors: The faults of the request, where they can be named.
    """

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind.status, detail, dict(headers or {}))
        self.kind = kind
        self.errors = errors


def pointer(location: Iterable[str | int]) -> str:
    """Return a place in a JSON document as a JSON pointer in the form of a URI fragment."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "#" + "".join(f"/{quote(part, safe='~!$&()*+,;=:@', errors='replace')}" for part in parts)


def input_errors(error: InvalidInputError, place: Sequence[str | int]) -> list[FieldError]:
    """Return the faults that an agent or a workflow found in its input, which is at `place` in the body."""
    return [FieldError(pointer=pointer((*place, *fault["loc"])), detail=fault["msg"]) for fault in error.errors]


def problem_of(error: Exception, instance: str, place: Sequence[str | int] = ()) -> tuple[ProblemKind, Problem]:
    """Return what an error is to a client; one that is not foreseen is an internal one and tells nothing more.

    Args:
        error: What was raised.
        instance: The path that was asked for.
        place: Where in the body the submission is that it is about.
    """
    kind = _kind_of(error)
    problem = Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=_detail_of(error, kind),
        instance=instance,
        errors=_field_errors(error, place) or None,
        trace_id=current_trace_id(),
    )
    return kind, problem


def install(app: FastAPI) -> None:
    """Answer every error that is foreseen as a problem."""
    for error in (*_KIND_OF_ERROR, HTTPException):
        app.add_exception_handler(error, answer)


async def answer(request: Request, error: Exception) -> Response:
    """Return the answer to a request that ended in an error."""
    kind, problem = problem_of(error, quote(request.url.path, errors="replace"))
    if kind is QUEUE_UNAVAILABLE:
        logger.warning("refused %s %s: %s", request.method, problem.instance, error)
    headers = dict(getattr(error, "headers", None) or {})
    if kind.retry_after is not None:
        headers["Retry-After"] = str(kind.retry_after)
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, kind.status, headers=SECURITY_HEADERS | headers, media_type=MEDIA_TYPE)


SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer that does not bring its own: nothing is sniffed, kept, or taken for a page with contents."""


def _kind_of(error: Exception) -> ProblemKind:
    if isinstance(error, ProblemError):
        return error.kind
    if isinstance(error, HTTPException):
        return _KIND_OF_STATUS.get(error.status_code, INVALID_REQUEST)
    return next((_KIND_OF_ERROR[base] for base in type(error).__mro__ if base in _KIND_OF_ERROR), INTERNAL_ERROR)


def _detail_of(error: Exception, kind: ProblemKind) -> str:
    if kind in {QUEUE_UNAVAILABLE, INTERNAL_ERROR} or _is_plain(error):
        return kind.cause  # the error's own text would tell a stranger about addresses and code
    if isinstance(error, RequestValidationError):
        count = len(error.errors())
        return f"{count} {'fault' if count == 1 else 'faults'} in the request; see errors"
    return error.detail if isinstance(error, HTTPException) else str(error)


def _is_plain(error: Exception) -> bool:
    """Whether it comes from the framework, whose details only repeat the status."""
    return isinstance(error, HTTPException) and not isinstance(error, ProblemError)


def _field_errors(error: Exception, place: Sequence[str | int]) -> list[FieldError]:
    if isinstance(error, ProblemError):
        return list(error.errors)
    if isinstance(error, InvalidInputError):
        return input_errors(error, (*place, "input"))
    if isinstance(error, UnknownAgentError):
        return [FieldError(pointer=pointer((*place, "agent")), detail=str(error))]
    if isinstance(error, InvalidCallbackError):
        return [FieldError(pointer=pointer((*place, "options", "callback_url")), detail=str(error))]
    if isinstance(error, StepOutOfOrderError):
        return [FieldError(pointer=pointer(("step",)), detail=str(error))]
    if isinstance(error, RequestValidationError):
        return [_request_fault(fault) for fault in error.errors()]
    return []


def _request_fault(fault: Mapping[str, Any]) -> FieldError:
    """Return one of FastAPI's findings; its location starts with the part of the request."""
    part, *location = fault["loc"]
    if part == "body":
        return FieldError(pointer=pointer(location), detail=fault["msg"])
    return FieldError(parameter=".".join(str(name) for name in location), detail=fault["msg"])
