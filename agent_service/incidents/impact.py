"""What an incident did to the work, computed by Prometheus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import httpx

from agent_service.incidents.errors import PrometheusAwayError
from agent_service.telemetry.contract import ERRORS, TASK_WAIT, TASKS, Outcome

ANSWER_SECONDS: Final = 10.0
LEAST_SECONDS: Final = 60
"""An increase needs two samples at least."""
FAILED: Final = (Outcome.FAILURE.value, Outcome.TIMEOUT.value, Outcome.CRASH.value)
PERCENTILE: Final = 0.95

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Impact:
    """What happened to tasks in a span of time.

    Attributes:
        ended: Attempts that ended, by agent and outcome.
        errors: Errors that ended an attempt, by agent and type.
        wait_seconds: The 95th percentile of the wait of the tasks that started; None where none did.
        usual_wait_seconds: The same in the equally long time before.
        alerts: Names and severities of all alerts that fired.
    """

    ended: Mapping[Labels, float] = field(default_factory=dict)
    errors: Mapping[Labels, float] = field(default_factory=dict)
    wait_seconds: float | None = None
    usual_wait_seconds: float | None = None
    alerts: tuple[Labels, ...] = ()

    @property
    def failed(self) -> dict[Labels, float]:
        """The tasks that failed, timed out or crashed for good, the most first."""
        failed = {labels: count for labels, count in self.ended.items() if labels[-1] in FAILED and round(count)}
        return dict(sorted(failed.items(), key=lambda item: -item[1]))

    @property
    def retried(self) -> float:
        """The runs that went wrong and were to be tried again; each is no end of a task yet."""
        return sum(count for labels, count in self.ended.items() if labels[-1] == Outcome.RETRY)

    @property
    def tasks(self) -> float:
        """The tasks that came to an end."""
        return sum(self.ended.values()) - self.retried


class ImpactReader:
    """Asks Prometheus over its HTTP API.

    Source: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
    """

    def __init__(self, base_url: str, transport: httpx.BaseTransport | None = None) -> None:
        """Ask with the first question.

        Args:
            base_url: Where Prometheus is.
            transport: Replaces the network in tests.
        """
        self._url = base_url.rstrip("/")
        self._transport = transport

    def read(self, begin: datetime, end: datetime) -> Impact:
        """Return what happened between two moments.

        Raises:
            PrometheusAwayError: It does not answer, or not as Prometheus does.
        """
        seconds = max(LEAST_SECONDS, math.ceil((end - begin).total_seconds()))
        # A proxy for the outside world knows nothing of a server beside this one.
        with httpx.Client(timeout=ANSWER_SECONDS, transport=self._transport, trust_env=False) as client:
            asked = _Asked(client, self._url, end)
            return Impact(
                ended=asked.growth(TASKS.name, ("agent", "outcome"), seconds),
                errors=asked.growth(ERRORS.name, ("agent", "error_type"), seconds),
                wait_seconds=asked.wait(seconds),
                usual_wait_seconds=asked.wait(seconds, before=seconds),
                alerts=asked.alerts(seconds),
            )


def growth(metric: str, seconds: int, before: int = 0) -> str:
    """Return the expression for how much each series of a counter grew.

    To Prometheus a counter that was not there before starts at its first sample, not at 0, so what that sample holds is
    added: a process that just started, or the very first failure of an agent, has counted it too.

    Args:
        metric: The counter.
        seconds: How long a time is looked at.
        before: How many seconds before the moment that is asked about that time ends.
    """
    whole = f"{metric}[{seconds}s] offset {before}s"
    fresh = f"(min_over_time({whole}) unless {metric} offset {before + seconds}s)"
    return f"((increase({whole}) + {fresh}) or increase({whole}) or {fresh})"


@dataclass(frozen=True, slots=True)
class _Asked:
    """Questions about one moment."""

    client: httpx.Client
    url: str
    at: datetime

    def growth(self, metric: str, by: Labels, seconds: int) -> dict[Labels, float]:
        """Return how much a counter grew, by the labels named."""
        return self.values(f"sum by ({', '.join(by)}) ({growth(metric, seconds)})", by)

    def wait(self, seconds: int, before: int = 0) -> float | None:
        """Return the percentile of the wait of tasks, or None where none started."""
        buckets = growth(f"{TASK_WAIT.name}_bucket", seconds, before)
        return self.values(f"histogram_quantile({PERCENTILE}, sum by (le) ({buckets}))", ()).get(())

    def alerts(self, seconds: int) -> tuple[Labels, ...]:
        """Return the names and severities of the alerts that fired."""
        by = ("alertname", "severity")
        fired = f'max_over_time(ALERTS{{alertstate="firing"}}[{seconds}s])'
        return tuple(sorted(self.values(f"count by ({', '.join(by)}) ({fired})", by)))

    def values(self, query: str, by: Labels) -> dict[Labels, float]:
        """Return the answer to a query by the labels named; without what is no number."""
        vector = self._ask(query)
        try:
            found = {
                tuple(str(sample["metric"].get(label, "")) for label in by): float(sample["value"][1])
                for sample in vector
            }
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise PrometheusAwayError(f"what answers at {self.url} is no Prometheus") from error
        return {labels: value for labels, value in found.items() if math.isfinite(value)}

    def _ask(self, query: str) -> list[Any]:
        try:
            response = self.client.get(
                f"{self.url}/api/v1/query", params={"query": query, "time": f"{self.at.timestamp():.3f}"}
            )
            vector = response.json()["data"]["result"]
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PrometheusAwayError(f"Prometheus at {self.url} does not answer") from error
        except (ValueError, KeyError, TypeError) as error:
            raise PrometheusAwayError(f"what answers at {self.url} is no Prometheus") from error
        if not isinstance(vector, list):
            raise PrometheusAwayError(f"what answers at {self.url} is no Prometheus")
        return vector
