"""A workflow: several agents as one graph, declared in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import BaseModel

from agent_service.agents.definition import MAX_NAME_LENGTH, NAME_PATTERN

Payload = Mapping[str, Any]


class WorkflowDefinitionError(Exception):
    """A workflow is declared in a way that cannot be run; the message says what to change."""


class OnFailure(StrEnum):
    """What a failed task does to the rest of its workflow."""

    FAIL = "fail"
    """The workflow fails; what runs is stopped, what waits is canceled."""
    SKIP = "skip"
    """The steps after this one are skipped; the others go on."""
    CONTINUE = "continue"
    """The steps after this one run with the results that there are."""


@dataclass(frozen=True)
class Results:
    """What a step's `inputs` function sees: the workflow's input and the results of the steps before it.

    Attributes:
        input: The workflow's input.
        rounds: By step, the results of each round, in the order of that round's inputs; failed tasks left out.
    """

    input: dict[str, Any]
    rounds: dict[str, list[list[dict[str, Any]]]]

    def one(self, step: str) -> dict[str, Any]:
        """Return the result of a step with one task, from its latest round.

        Raises:
            LookupError: It has none.
        """
        results = self.all(step)
        if not results:
            raise LookupError(f"step {step!r} has no result")
        return results[0]

    def all(self, step: str) -> list[dict[str, Any]]:
        """Return the results of a step's latest round."""
        rounds = self.rounds.get(step, [])
        return rounds[-1] if rounds else []

    def every(self, step: str) -> list[dict[str, Any]]:
        """Return the results of all rounds of a step, the oldest first."""
        return [result for results in self.rounds.get(step, []) for result in results]


@dataclass(frozen=True)
class Step:
    """One agent in a workflow.

    Attributes:
        name: Lower-case words joined by hyphens.
        agent: The agent's name.
        inputs: Makes the agent's input of what came before, or a list of inputs: one task each, all at once.
        after: Steps that must have ended before this one.
        on_failure: What a failed task of this step does to the rest.
    """

    name: str
    agent: str
    inputs: Callable[[Results], Payload | Sequence[Payload]]
    after: tuple[str, ...] = ()
    on_failure: OnFailure = OnFailure.FAIL


@dataclass(frozen=True)
class Loop:
    """Goes back in the graph, a limited number of times.

    Attributes:
        at: The step after which it is decided.
        back_to: The step to go back to; it, `at` and every step between them run again.
        again: Whether to, by the results so far.
        limit: Most times that it goes back.
    """

    at: str
    back_to: str
    again: Callable[[Results], bool]
    limit: int


@dataclass(frozen=True)
class Workflow:
    """Steps, their order, and which of them gives the result.

    Attributes:
        name: Lower-case words joined by hyphens.
        description: One sentence.
        input_model: The pydantic model of its input.
        steps: In any order; `after` makes the graph.
        result: The step whose result is the workflow's.
        loops: Where it may go back.
    """

    name: str
    description: str
    input_model: type[BaseModel]
    steps: tuple[Step, ...]
    result: str
    loops: tuple[Loop, ...] = ()
    _by_name: dict[str, Step] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Check the graph.

        Raises:
            WorkflowDefinitionError: A name is missing, used twice or malformed, or the steps wait for each other.
        """
        for name in (self.name, *(step.name for step in self.steps)):
            if not NAME_PATTERN.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
                raise WorkflowDefinitionError(f"workflow {self.name!r}: {name!r} is no name: lower-case words, hyphens")
        self._by_name.update({step.name: step for step in self.steps})
        if len(self._by_name) != len(self.steps):
            raise WorkflowDefinitionError(f"workflow {self.name!r} has two steps of the same name")
        named = [name for step in self.steps for name in step.after]
        named += [name for loop in self.loops for name in (loop.at, loop.back_to)]
        unknown = {*named, self.result} - set(self._by_name)
        if unknown:
            raise WorkflowDefinitionError(f"workflow {self.name!r} has no step {', '.join(sorted(unknown))}")
        try:
            TopologicalSorter({step.name: step.after for step in self.steps}).prepare()
        except CycleError as error:
            raise WorkflowDefinitionError(
                f"workflow {self.name!r}: steps wait for each other: {' → '.join(error.args[1])}; use a Loop to go back"
            ) from error
        for loop in self.loops:
            if loop.at != loop.back_to and loop.back_to not in self.before(loop.at):
                raise WorkflowDefinitionError(
                    f"workflow {self.name!r}: {loop.at!r} does not come after {loop.back_to!r}"
                )

    def step(self, name: str) -> Step:
        """Return the step of that name."""
        return self._by_name[name]

    def before(self, name: str) -> set[str]:
        """Return every step that must have ended before the one of that name."""
        direct = self._by_name[name].after
        return set(direct).union(*(self.before(step) for step in direct))

    def between(self, loop: Loop) -> set[str]:
        """Return the steps that run again when a loop goes back."""
        upstream = self.before(loop.at) | {loop.at}
        return {name for name in upstream if name == loop.back_to or loop.back_to in self.before(name)}
