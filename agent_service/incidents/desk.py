"""Where alerts come in and people work on incidents: every change is decided, kept, counted and logged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from agent_service.incidents import lifecycle
from agent_service.incidents.alertmanager import RECEIVER_LABEL, Notification, NotifiedAlert
from agent_service.incidents.escalation import EscalationPolicy
from agent_service.incidents.lifecycle import UNKNOWN
from agent_service.incidents.models import AlertReceipt, Effect, Incident, IncidentStatus, Outcome
from agent_service.incidents.store import Change, IncidentStore
from agent_service.telemetry import contract
from agent_service.telemetry.identifiers import uuid7
from agent_service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class IncidentDesk:
    """Takes notifications and steps.

    Attributes:
        store: Where incidents are read.
    """

    def __init__(
        self,
        store: IncidentStore,
        policy: EscalationPolicy,
        metrics: Metrics,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.store = store
        self._policy = policy
        self._metrics = metrics
        self._clock = clock
        for severity, team in policy.named():  # from 0 on, so that the first one is an increase to Prometheus
            metrics.show(contract.INCIDENTS_OPENED, severity=severity, team=team)
            metrics.show(contract.INCIDENT_TIME_TO_ACKNOWLEDGE, severity=severity, team=team)
            metrics.show(contract.INCIDENT_TIME_TO_RESOLVE, severity=severity, team=team)

    def receive(self, notification: Notification) -> AlertReceipt:
        """Take what Alertmanager tells about a group of alerts; the same again changes nothing.

        Raises:
            RedisError: Redis is away. What was not kept has to be told again.
        """
        effects = []
        if notification.faults:
            effects += self._receive_faults(notification)
        for alert in notification.escalations:
            effects += self._receive_escalation(alert)
        return AlertReceipt(effects=effects)

    def take_step(self, incident_id: str, step: IncidentStatus, by: str, note: str = "") -> Incident:
        """Take an incident a step further.

        Raises:
            IncidentNotFoundError: There is none of that id.
            StepOutOfOrderError: The step may not come now.
            RedisError: Redis is away.
        """
        at = self._clock()
        return self._change(incident_id, lambda incident: lifecycle.take_step(incident, step, by, at, note))

    def add_note(self, incident_id: str, by: str, note: str) -> Incident:
        """Write a note into an incident's timeline.

        Raises:
            IncidentNotFoundError: There is none of that id.
            RedisError: Redis is away.
        """
        at = self._clock()
        return self._change(incident_id, lambda incident: lifecycle.add_note(incident, by, at, note))

    def hand_over(self, incident_id: str, owner: str | None, by: str) -> Incident:
        """Give an incident to somebody, or to nobody.

        Raises:
            IncidentNotFoundError: There is none of that id.
            RedisError: Redis is away.
        """
        at = self._clock()
        return self._change(incident_id, lambda incident: lifecycle.hand_over(incident, owner, by, at))

    def _receive_faults(self, notification: Notification) -> list[Effect]:
        at, new_id = self._clock(), uuid7()
        outcome = Outcome.UNCHANGED

        def decide(incident: Incident | None) -> Incident | None:
            nonlocal outcome
            after, outcome = lifecycle.receive(incident, notification, at, new_id)
            return after

        change = self.store.change_group(notification.group_key, decide)
        if change.after is None:
            return []
        self._tell(change)
        return [Effect(incident_id=change.after.id, outcome=outcome)]

    def _receive_escalation(self, alert: NotifiedAlert) -> list[Effect]:
        """Write into each incident that the step is due for that it was reached."""
        at, step = self._clock(), alert.escalation or ""
        severity, team = (alert.labels.get(label) or UNKNOWN for label in ("severity", "team"))
        receiver = alert.labels.get(RECEIVER_LABEL, "")
        steps = enumerate(self._policy.steps(severity, team), start=1)
        after = next((entry.after_seconds for number, entry in steps if str(number) == step), 0.0)
        effects = []
        for incident in self.store.active():
            due = incident.unacknowledged_seconds(at) >= after
            if (incident.severity, incident.team) == (severity, team) and due:
                change = self.store.change(incident.id, lambda now: lifecycle.escalate(now, step, receiver, at))
                if change.before is not change.after:
                    logger.warning("incident %s is escalated, step %s", incident.id, step, extra=_labels(incident))
                    effects.append(Effect(incident_id=incident.id, outcome=Outcome.ESCALATED))
        return effects

    def _change(self, incident_id: str, decide: Callable[[Incident], Incident]) -> Incident:
        change = self.store.change(incident_id, decide)
        self._tell(change)
        if change.after is None:  # pragma: no cover - a change of one that there is makes none vanish
            raise RuntimeError("the incident is gone")
        return change.after

    def _tell(self, change: Change) -> None:
        """Count and log what a change that was kept means."""
        before, after = change.before, change.after
        if after is None or after is before:
            return
        if before is None or after.openings > before.openings:
            self._metrics.count(contract.INCIDENTS_OPENED, severity=after.severity, team=after.team)
        if before and before.status is after.status:
            return
        if after.status is IncidentStatus.ACKNOWLEDGED:
            self._observe(contract.INCIDENT_TIME_TO_ACKNOWLEDGE, after, after.acknowledged_at)
        elif after.status is IncidentStatus.RESOLVED:
            self._observe(contract.INCIDENT_TIME_TO_RESOLVE, after, after.resolved_at)
        logger.info("incident %s is %s: %s", after.id, after.status, after.title, extra=_labels(after))

    def _observe(self, metric: contract.Metric, incident: Incident, end: datetime | None) -> None:
        seconds = max(0.0, (end - incident.active_since).total_seconds()) if end else 0.0
        self._metrics.observe(metric, seconds, severity=incident.severity, team=incident.team)


def _labels(incident: Incident) -> dict[str, str]:
    return {
        "incident_id": incident.id,
        "incident_status": incident.status.value,
        "severity": incident.severity,
        "team": incident.team,
    }
