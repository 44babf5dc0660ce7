"""Turns a typed function into an agent: what it takes, what it gives, and how it is run."""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import BaseModel

from agent_service.agents.context import Context

InputT = TypeVar("InputT", bound=BaseModel)
ResultT = TypeVar("ResultT", bound=BaseModel)

NAME_PATTERN = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_NAME_LENGTH = 63
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class AgentDefinitionError(Exception):
    """An agent is written in a way that cannot be run; the message says what to change."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long after a failure, a task is tried again.

    Attributes:
        attempts: Runs in all, the first included; at least 1.
        base: Wait before the second run; every further wait is twice as long. Not negative.
        limit: Longest wait before jitter. Not negative.
        jitter: Share of the wait, 0 to 1, that is random, so that tasks that failed together do not return together.
    """

    attempts: int = 1
    base: timedelta = timedelta(seconds=1)
    limit: timedelta = timedelta(minutes=5)
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise AgentDefinitionError(f"attempts count from 1, got {self.attempts}")
        if self.base < timedelta(0) or self.limit < timedelta(0):
            raise AgentDefinitionError(f"waits are not negative, got base {self.base} and limit {self.limit}")
        if not 0 <= self.jitter <= 1:
            raise AgentDefinitionError(f"jitter is a share from 0 to 1, got {self.jitter}")

    def waits(self, rng: random.Random) -> list[int]:
        """Return the wait before each further run in whole seconds (RQ's resolution), jittered by `rng`."""
        waits = []
        wait = min(self.base, self.limit)
        for _ in range(self.attempts - 1):
            waits.append(round(wait.total_seconds() * (1 + self.jitter * (2 * rng.random() - 1))))
            # Doubled step by step: a power of two outgrows what a timedelta holds.
            wait = min(wait * 2, self.limit)
        return waits


@dataclass(frozen=True)
class AgentDefinition(Generic[InputT, ResultT]):
    """One agent: a function with everything that the service needs to run it.

    Calling the definition calls the function, so an agent stays testable as plain Python.

    Attributes:
        name: Lower-case words joined by hyphens; the name in every metric, log line and span.
        function: The user's function, sync or async.
        input_model: The pydantic model of its one input.
        result_model: The pydantic model of its result.
        takes_context: Whether the function has a second parameter for the `Context`.
        timeout: Longest run in seconds; None takes the service's default.
        retries: When a failed run is tried again.
        concurrency: Most tasks of this agent that run at once over all workers; None sets no limit.
        queue: The queue its tasks go to.
        version: Whatever tells one state of the code from the next.
        owner: The team that is asked when it fails.
        description: One sentence, by default the first line of the function's docstring.
        internal: Run by the service itself, not offered to clients.
    """

    name: str
    function: Callable[..., ResultT | Awaitable[ResultT]]
    input_model: type[InputT]
    result_model: type[ResultT]
    takes_context: bool
    timeout: int | None = None
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    concurrency: int | None = None
    queue: str = "default"
    version: str = "1"
    owner: str = "agents"
    description: str = ""
    internal: bool = False

    @property
    def is_async(self) -> bool:
        """Whether many tasks of it run at once in one process."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def id(self) -> str:
        """`gen_ai.agent.id`: the name and the version."""
        return f"{self.name}@{self.version}"

    def __call__(self, *args: Any, **kwargs: Any) -> ResultT | Awaitable[ResultT]:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    def invoke(self, payload: InputT, context: Context) -> ResultT | Awaitable[ResultT]:
        """Call the function with its input, and with the context where it asks for one."""
        return self.function(payload, context) if self.takes_context else self.function(payload)


def agent(
    name: str,
    *,
    timeout: int | None = None,
    retries: RetryPolicy | int = 0,
    concurrency: int | None = None,
    queue: str = "default",
    version: str = "1",
    owner: str = "agents",
    description: str | None = None,
    internal: bool = False,
) -> Callable[[Callable[..., ResultT | Awaitable[ResultT]]], AgentDefinition[Any, ResultT]]:
    """Make an agent of a typed function.

    The function's first parameter is annotated with a pydantic model, its input; an optional second one receives the
    `Context`; its return annotation is a pydantic model, its result.

    Args:
        name: Lower-case words joined by hyphens, at most 63 characters.
        timeout: Longest run in seconds, at least 1; None takes the service's default.
        retries: A policy, or how often a failed run is tried again.
        concurrency: Most tasks of this agent that run at once over all workers, at least 1.
        queue: The queue its tasks go to.
        version: Whatever tells one state of the code from the next.
        owner: The team that is asked when it fails.
        description: One sentence; by default the first line of the docstring.
        internal: Run by the service itself, not offered to clients.

    Raises:
        AgentDefinitionError: The name, an option or the function's annotations do not fit.
    """
    _check_options(name, queue, timeout, concurrency)
    if isinstance(retries, int) and retries < 0:
        raise AgentDefinitionError(f"agent {name!r}: its retries must be at least 0, got {retries}")
    policy = retries if isinstance(retries, RetryPolicy) else RetryPolicy(attempts=retries + 1)

    def decorate(function: Callable[..., ResultT | Awaitable[ResultT]]) -> AgentDefinition[Any, ResultT]:
        input_model, result_model, takes_context = _read_signature(name, function)
        return AgentDefinition(
            name=name,
            function=function,
            input_model=input_model,
            result_model=result_model,
            takes_context=takes_context,
            timeout=timeout,
            retries=policy,
            concurrency=concurrency,
            queue=queue,
            version=version,
            owner=owner,
            description=description or (inspect.getdoc(function) or "").partition("\n")[0],
            internal=internal,
        )

    return decorate


def _check_options(name: str, queue: str, timeout: int | None, concurrency: int | None) -> None:
    for what, text in (("name", name), ("queue", queue)):
        if not NAME_PATTERN.fullmatch(text) or len(text) > MAX_NAME_LENGTH:
            raise AgentDefinitionError(
                f"agent {name!r}: its {what} must be lower-case words joined by hyphens, at most "
                f"{MAX_NAME_LENGTH} characters, got {text!r}"
            )
    for what, number in (("timeout", timeout), ("concurrency", concurrency)):
        if number is not None and number < 1:
            raise AgentDefinitionError(f"agent {name!r}: its {what} must be at least 1, got {number}")


def _read_signature(name: str, function: Callable[..., Any]) -> tuple[type[BaseModel], type[Any], bool]:
    """Return the input model, the result model, and whether the function takes a context."""
    parameters = list(inspect.signature(function).parameters.values())
    if not 1 <= len(parameters) <= 2:
        raise AgentDefinitionError(
            f"agent {name!r}: its function takes one input and optionally a context, got {len(parameters)} parameters"
        )
    if any(parameter.kind not in _POSITIONAL for parameter in parameters):
        raise AgentDefinitionError(f"agent {name!r}: its parameters must be positional, without * or keyword-only ones")
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise AgentDefinitionError(
            f"agent {name!r}: an annotation cannot be resolved ({error}); define its models at module level"
        ) from error
    input_model = _model(name, f"parameter {parameters[0].name!r}", hints.get(parameters[0].name))
    result_model = _model(name, "return value", hints.get("return"))
    if len(parameters) == 2 and hints.get(parameters[1].name, Context) is not Context:
        raise AgentDefinitionError(f"agent {name!r}: its second parameter must be annotated with Context")
    return input_model, result_model, len(parameters) == 2


def _model(name: str, what: str, hint: object) -> type[BaseModel]:
    if not (isinstance(hint, type) and issubclass(hint, BaseModel)):
        raise AgentDefinitionError(f"agent {name!r}: its {what} must be annotated with a pydantic model, got {hint!r}")
    return hint
