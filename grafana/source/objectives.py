"""What is promised to those who submit tasks, and how much of the error budget is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana.source.boards.expressions import BAD, ENDED
from grafana.source.limits import Limit, limits

WINDOW: Final = "30d"
"""Over which time a promise is judged; less where Prometheus keeps less."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise about a share of all tasks, as `prometheus/rules/objectives.yml` has it.

    Attributes:
        title: What it is about.
        promise: It in words.
        budget: The share that may break it.
        recorded: The recording rules of the share that did, without the window.
        broken: PromQL of how many broke it in `WINDOW`.
        every: The same for all tasks.
        alert: The alert that watches how fast the budget is used up.
    """

    title: str
    promise: str
    budget: float
    recorded: str
    broken: str
    every: str
    alert: str

    @property
    def left(self) -> str:
        """PromQL of the share of the budget that is left; below 0 the promise is broken."""
        return f"1 - {self.broken} / ({self.every} > 0) / {self.budget}"

    @property
    def kept(self) -> str:
        """PromQL of the share of the tasks for which the promise was kept."""
        return f"1 - {self.broken} / ({self.every} > 0)"

    def burn_rate(self, window: str) -> str:
        """Return PromQL of how many times faster than allowed the budget is used up."""
        return f"({self.recorded}{window} >= 0) / {self.budget}"

    @property
    def burn_limits(self) -> Sequence[Limit]:
        """The rates from which on somebody is told."""
        return limits(self.alert, scale=1 / self.budget)

    @property
    def left_limits(self) -> Sequence[Limit]:
        """Where the budget is gone, and where a tenth of it is left."""
        return [Limit(0, above=False, color="red"), Limit(0.1, above=False, color="orange")]

    @property
    def kept_limits(self) -> Sequence[Limit]:
        """Below what the promise is broken."""
        return [Limit(1 - self.budget, above=False, color="red")]


OBJECTIVES: Final = (
    Objective(
        title="Tasks succeed",
        promise="99 % of tasks end successfully",
        budget=0.01,
        recorded="objective:task_success_errors:ratio_rate",
        broken=f"(sum(increase(agent_tasks_total{{{BAD}}}[{WINDOW}])) or vector(0))",
        every=f"sum(increase(agent_tasks_total{{{ENDED}}}[{WINDOW}]))",
        alert="TaskSuccessBudgetBurn",
    ),
    Objective(
        title="Tasks start in time",
        promise="95 % of tasks start within 30 seconds of being ready",
        budget=0.05,
        recorded="objective:task_start_errors:ratio_rate",
        broken=(
            f"(sum(increase(agent_task_wait_seconds_count[{WINDOW}]))"
            f' - sum(increase(agent_task_wait_seconds_bucket{{le="30.0"}}[{WINDOW}])))'
        ),
        every=f"sum(increase(agent_task_wait_seconds_count[{WINDOW}]))",
        alert="TaskStartBudgetBurn",
    ),
)
