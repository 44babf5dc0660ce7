"""How errors read to a client."""

import pytest
from fastapi.exceptions import RequestValidationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from starlette.exceptions import HTTPException

from agent_service.agents import UnknownAgentError
from agent_service.api.problems import KINDS, pointer, problem_of
from agent_service.tasks import errors
from agent_service.workflows import UnknownWorkflowError, WorkflowNotFoundError


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ((), "#"),
        (("input", "text"), "#/input/text"),
        (("tasks", 3, "agent"), "#/tasks/3/agent"),
        (("a/b~c", "d e"), "#/a~1b~0c/d%20e"),
        (("ä%",), "#/%C3%A4%25"),
        (("",), "#/"),
    ],
)
def test_a_place_is_a_json_pointer_in_a_fragment(location, expected):
    assert pointer(location) == expected


@pytest.mark.parametrize(
    ("error", "slug", "status", "retry_after"),
    [
        (errors.TaskNotFoundError("7"), "task-not-found", 404, None),
        (errors.InvalidTransitionError("it is finished"), "invalid-transition", 409, None),
        (errors.InvalidCallbackError("no"), "invalid-callback", 422, None),
        (errors.IdempotencyMismatchError("other"), "idempotency-key-reused", 422, None),
        (errors.IdempotencyBusyError("busy"), "idempotency-key-busy", 409, 1),
        (errors.QueueFullError("default", 3), "queue-full", 429, 5),
        (errors.QueueUnavailableError("away"), "queue-unavailable", 503, 5),
        (RedisError("away"), "queue-unavailable", 503, 5),
        (RedisConnectionError("10.0.0.7:6379 refused"), "queue-unavailable", 503, 5),
        (ResponseError("READONLY"), "queue-unavailable", 503, 5),
        (UnknownAgentError("x", ["y"]), "unknown-agent", 422, None),
        (UnknownWorkflowError("x", ["y"]), "workflow-not-found", 404, None),
        (WorkflowNotFoundError("7"), "workflow-not-found", 404, None),
        (HTTPException(404), "not-found", 404, None),
        (HTTPException(405), "method-not-allowed", 405, None),
        (RuntimeError("inside"), "internal-error", 500, None),
        (KeyError("inside"), "internal-error", 500, None),
    ],
)
def test_an_error_is_of_one_kind(error, slug, status, retry_after):
    kind, problem = problem_of(error, "/tasks")
    assert (kind.slug, problem.status, kind.retry_after) == (slug, status, retry_after)
    assert problem.type == f"/problems/{slug}"
    assert problem.instance == "/tasks"


@pytest.mark.parametrize(
    "error", [RuntimeError("10.0.0.7"), RedisError("10.0.0.7"), errors.QueueUnavailableError("10.0.0.7")]
)
def test_what_is_inside_stays_inside(error):
    _, problem = problem_of(error, "/tasks")
    assert "10.0.0.7" not in problem.model_dump_json()


def test_the_faults_of_an_input_are_below_input():
    faults = [{"loc": ("parts", 1), "msg": "not a number", "type": "int"}]
    _, problem = problem_of(errors.InvalidInputError("measure", faults), "/tasks")
    _, in_batch = problem_of(errors.InvalidInputError("measure", faults), "/tasks/batch", ("tasks", 4))
    assert [fault.pointer for fault in problem.errors] == ["#/input/parts/1"]
    assert [fault.pointer for fault in in_batch.errors] == ["#/tasks/4/input/parts/1"]


def test_the_faults_of_a_request_say_where_they_are():
    faults = [
        {"loc": ("body", "options", "retries"), "msg": "too many", "type": "x"},
        {"loc": ("query", "limit"), "msg": "too high", "type": "x"},
        {"loc": ("header", "Idempotency-Key"), "msg": "too long", "type": "x"},
        {"loc": ("body",), "msg": "missing", "type": "missing"},
    ]
    _, problem = problem_of(RequestValidationError(faults), "/tasks")
    assert [(fault.pointer, fault.parameter) for fault in problem.errors] == [
        ("#/options/retries", None),
        (None, "limit"),
        (None, "Idempotency-Key"),
        ("#", None),
    ]


def test_what_may_succeed_later_says_when():
    assert {slug for slug, kind in KINDS.items() if kind.retry_after} == {
        "idempotency-key-busy",
        "queue-full",
        "queue-unavailable",
    }
