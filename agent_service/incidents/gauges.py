"""How many incidents are open and how long they wait, as the metrics tell it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from agent_service.incidents.escalation import EscalationPolicy
from agent_service.incidents.store import IncidentStore
from agent_service.telemetry import contract
from agent_service.telemetry.metrics import Sample


def _now() -> datetime:
    return datetime.now(UTC)


class IncidentGauges:
    """Gives the gauges of the incidents at a scrape."""

    def __init__(self, store: IncidentStore, policy: EscalationPolicy, clock: Callable[[], datetime] = _now) -> None:
        self._store = store
        self._policy = policy
        self._clock = clock

    def samples(self) -> Iterator[Sample]:
        """Yield every sample: for the severities and teams that the policy names, and those that have an incident.

        Raises:
            RedisError: Redis is away.
        """
        now = self._clock()
        count = dict.fromkeys(self._policy.named(), 0)
        longest = dict.fromkeys(count, 0.0)
        for incident in self._store.active():
            pair = (incident.severity, incident.team)
            count[pair] = count.get(pair, 0) + 1
            longest[pair] = max(longest.get(pair, 0.0), incident.unacknowledged_seconds(now))
        for (severity, team), number in count.items():
            labels = {"severity": severity, "team": team}
            yield Sample(contract.INCIDENTS_OPEN, number, labels)
            yield Sample(contract.INCIDENT_UNACKNOWLEDGED, longest[severity, team], labels)
            yield from self._steps(labels)

    def _steps(self, labels: dict[str, str]) -> Iterator[Sample]:
        for number, step in enumerate(self._policy.steps(labels["severity"], labels["team"]), start=1):
            yield Sample(
                contract.INCIDENT_ESCALATION_AFTER,
                step.after_seconds,
                {**labels, "escalation": str(number), "receiver": step.receiver},
            )
