"""What becomes of an incident when an alert or a person does something: pure functions from one state to the next.

    open -> acknowledged -> investigating -> mitigated -> resolved -> reviewed

The end of all its alerts resolves an incident wherever it is; a new firing opens a resolved one again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agent_service.incidents.alertmanager import Notification
from agent_service.incidents.errors import StepOutOfOrderError
from agent_service.incidents.models import (
    ALERTMANAGER,
    AlertSnapshot,
    Incident,
    IncidentStatus,
    IncidentStep,
    Outcome,
    StepKind,
)

SEVERITIES: Final = ("critical", "warning", "info")
"""From the worst to the least; others come after these."""
UNKNOWN: Final = "unknown"
"""The severity or team of alerts that name none."""
ALERTS_KEPT: Final = 500
STEPS_KEPT: Final = 1_000
TITLE_LIMIT: Final = 300
_TOLD: Final = 5
"""Alerts that an entry of the timeline names; of more it gives the number."""
_BY_MACHINE: Final = frozenset({StepKind.REOPENED, StepKind.RESOLVED, StepKind.ALERTS, StepKind.ESCALATED})


@dataclass(frozen=True, slots=True)
class Merge:
    """Alerts that were known and alerts that arrive, put together.

    Attributes:
        alerts: All of them, the known ones first.
        started: Those that fire and did not, or that fire anew.
        ended: Those that fired and do not.
    """

    alerts: list[AlertSnapshot]
    started: list[AlertSnapshot]
    ended: list[AlertSnapshot]


def merge(known: Iterable[AlertSnapshot], arriving: Iterable[AlertSnapshot]) -> Merge:
    """Put what a notification says onto what is known.

    A repeated notification has the same fingerprints, states and starts, and changes nothing. One that is older than
    what is known, by the alert's start, changes nothing either.
    """
    alerts = {alert.fingerprint: alert for alert in known}
    started, ended = [], []
    for alert in arriving:
        before = alerts.get(alert.fingerprint)
        if before and (alert.starts_at, alert.firing) == (before.starts_at, before.firing):
            continue
        if before and alert.starts_at < before.starts_at:
            continue
        alerts[alert.fingerprint] = alert
        if alert.firing:
            started.append(alert)
        elif before is None or before.firing:
            ended.append(alert)
    return Merge(_newest(alerts.values()), started, ended)


def receive(
    incident: Incident | None, notification: Notification, at: datetime, new_id: str
) -> tuple[Incident | None, Outcome]:
    """Return what an incident is after a notification about its group.

    Args:
        incident: The group's incident, or None where it has none.
        notification: What Alertmanager tells.
        at: Now.
        new_id: The id of the incident that may have to be opened.

    Returns:
        The incident, or None where there is still none, and what happened; unchanged, it is the very same object.
    """
    merged = merge(incident.alerts if incident else (), notification.faults)
    if incident is None:
        opened = _open(notification, merged.started, at, new_id) if merged.started else None
        return opened, Outcome.OPENED if opened else Outcome.UNCHANGED
    if not merged.started and not merged.ended:
        return incident, Outcome.UNCHANGED
    if not incident.status.is_active:
        return _after_end(incident, merged, at)
    if not any(alert.firing for alert in merged.alerts):
        changes = {"status": IncidentStatus.RESOLVED, "resolved_at": at, "alerts": merged.alerts}
        note = "all alerts have ended"
        return _entered(incident, StepKind.RESOLVED, ALERTMANAGER, at, note, **changes), Outcome.RESOLVED
    severity = _worst([incident.severity, *_severities(merged.started)])
    changes = {"alerts": merged.alerts, "severity": severity}
    return _entered(incident, StepKind.ALERTS, ALERTMANAGER, at, _change_text(merged), **changes), Outcome.UPDATED


def take_step(incident: Incident, step: IncidentStatus, by: str, at: datetime, note: str = "") -> Incident:
    """Return the incident after a person took it a step further; who acknowledges it owns it if nobody does.

    Raises:
        StepOutOfOrderError: The step may not come now; the message names those that may.
    """
    if step not in incident.status.next_steps:
        raise StepOutOfOrderError(incident.status, step, incident.status.next_steps)
    changes: dict[str, object] = {"status": step}
    if step is IncidentStatus.ACKNOWLEDGED:
        changes |= {"acknowledged_at": at, "owner": incident.owner or by}
    elif step is IncidentStatus.RESOLVED:
        changes["resolved_at"] = at
    elif step is IncidentStatus.REVIEWED:
        changes["reviewed_at"] = at
    return _entered(incident, StepKind(step.value), by, at, note, **changes)


def add_note(incident: Incident, by: str, at: datetime, note: str) -> Incident:
    """Return the incident with a note, which may come at any time."""
    return _entered(incident, StepKind.NOTE, by, at, note)


def hand_over(incident: Incident, owner: str | None, by: str, at: datetime) -> Incident:
    """Return the incident with another owner, or with none."""
    return _entered(incident, StepKind.OWNER, by, at, owner or "nobody", owner=owner)


def escalate(incident: Incident, step: str, receiver: str, at: datetime) -> Incident:
    """Return the incident after a step of the escalation policy was reached; the same object where it was before."""
    if incident.status is not IncidentStatus.OPEN or step in incident.escalations:
        return incident
    note = f"step {step}: {receiver}" if receiver else f"step {step}"
    escalations = [*incident.escalations, step]
    return _entered(incident, StepKind.ESCALATED, ALERTMANAGER, at, note, escalations=escalations)


def _open(notification: Notification, firing: Sequence[AlertSnapshot], at: datetime, new_id: str) -> Incident:
    first = firing[0]
    annotations = {**first.annotations, **notification.common_annotations}
    name = notification.common_labels.get("alertname") or ", ".join(sorted({alert.name for alert in firing})[:_TOLD])
    summary = annotations.get("summary")
    return Incident(
        id=new_id,
        title=_one_line(f"{name}: {summary}" if summary else name),
        status=IncidentStatus.OPEN,
        severity=_worst(_severities(firing)),
        team=notification.common_labels.get("team") or first.labels.get("team") or UNKNOWN,
        opened_at=at,
        active_since=at,
        updated_at=at,
        runbook_url=annotations.get("runbook_url"),
        dashboard_url=annotations.get("dashboard_url"),
        group_key=notification.group_key,
        alerts=_newest(notification.faults),
        timeline=[IncidentStep(at=at, by=ALERTMANAGER, kind=StepKind.OPENED, note=_names(firing))],
    )


def _after_end(incident: Incident, merged: Merge, at: datetime) -> tuple[Incident, Outcome]:
    if not merged.started:  # a person had resolved it before its alerts ended
        text = _change_text(merged)
        return _entered(incident, StepKind.ALERTS, ALERTMANAGER, at, text, alerts=merged.alerts), Outcome.UPDATED
    reopened = _entered(
        incident,
        StepKind.REOPENED,
        ALERTMANAGER,
        at,
        _names(merged.started),
        status=IncidentStatus.OPEN,
        severity=_worst(_severities(alert for alert in merged.alerts if alert.firing)),
        alerts=merged.alerts,
        active_since=at,
        acknowledged_at=None,
        resolved_at=None,
        reviewed_at=None,
        openings=incident.openings + 1,
        escalations=[],
    )
    return reopened, Outcome.REOPENED


def _entered(incident: Incident, kind: StepKind, by: str, at: datetime, note: str, **changes: object) -> Incident:
    """Return the incident with changes, and with an entry in its timeline that tells of them."""
    entry = IncidentStep(at=at, by=by, kind=kind, note=note)
    timeline = _within_limit([*incident.timeline, entry])
    return incident.model_copy(update={**changes, "timeline": timeline, "updated_at": at})


def _within_limit(timeline: list[IncidentStep]) -> list[IncidentStep]:
    """Drop the oldest entry that no person made, where there are too many: an alert may come and go for days."""
    if len(timeline) > STEPS_KEPT:
        oldest = next((entry for entry in timeline if entry.by == ALERTMANAGER and entry.kind in _BY_MACHINE), None)
        if oldest:
            timeline.remove(oldest)
    return timeline


def _newest(alerts: Iterable[AlertSnapshot]) -> list[AlertSnapshot]:
    """Drop the oldest alerts that have ended, where there are too many."""
    kept = list(alerts)
    ended = sorted((alert for alert in kept if not alert.firing), key=lambda alert: alert.starts_at)
    gone = {alert.fingerprint for alert in ended[: max(0, len(kept) - ALERTS_KEPT)]}
    return [alert for alert in kept if alert.fingerprint not in gone]


def _severities(alerts: Iterable[AlertSnapshot]) -> list[str]:
    return [alert.labels.get("severity") or UNKNOWN for alert in alerts]


def _worst(severities: Iterable[str]) -> str:
    return min(severities, key=lambda name: SEVERITIES.index(name) if name in SEVERITIES else len(SEVERITIES))


def _one_line(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= TITLE_LIMIT else f"{words[: TITLE_LIMIT - 1]}…"


def _change_text(merged: Merge) -> str:
    parts = (("firing", merged.started), ("ended", merged.ended))
    return "; ".join(f"{word}: {_names(alerts)}" for word, alerts in parts if alerts)


def _names(alerts: Sequence[AlertSnapshot]) -> str:
    told = ", ".join(_label_text(alert) for alert in alerts[:_TOLD])
    more = len(alerts) - _TOLD
    return f"{told} and {more} more" if more > 0 else told


def _label_text(alert: AlertSnapshot) -> str:
    """Return the alert's name with the labels that tell it from its siblings."""
    common = {"alertname", "severity", "team", "job", "cluster"}
    labels = ", ".join(f"{name}={value}" for name, value in sorted(alert.labels.items()) if name not in common)
    return f"{alert.name} ({labels})" if labels else alert.name
