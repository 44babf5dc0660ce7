"""Notifications as Alertmanager sends them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from agent_service.incidents import Notification

NINE = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
GROUP = '{}:{alertname="AgentFailing", team="agents"}'


def minutes(count: float) -> datetime:
    """Return a moment so many minutes after nine."""
    return NINE + timedelta(minutes=count)


def alert(fingerprint: str = "a", *, status: str = "firing", starts: datetime = NINE, **labels: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "AgentFailing", "severity": "critical", "team": "agents", "agent": fingerprint}
        | labels,
        "annotations": {
            "summary": "40 % of the runs fail",
            "runbook_url": "http://localhost:8000/runbooks/AgentFailing",
        },
        "startsAt": starts.isoformat(),
        "endsAt": minutes(30).isoformat() if status == "resolved" else "0001-01-01T00:00:00Z",
        "generatorURL": "http://localhost:9090/graph",
        "fingerprint": fingerprint,
    }


def payload(*alerts: dict[str, Any], group: str = GROUP, **changes: Any) -> dict[str, Any]:
    """Return a notification; without alerts, of one that fires."""
    told = list(alerts) or [alert()]
    labels = [entry["labels"].items() for entry in told]
    return {
        "version": "4",
        "groupKey": group,
        "truncatedAlerts": 0,
        "status": "firing" if any(entry["status"] == "firing" for entry in told) else "resolved",
        "receiver": "incidents",
        "groupLabels": {"alertname": "AgentFailing", "team": "agents"},
        "commonLabels": dict(set(labels[0]).intersection(*labels[1:])),
        "commonAnnotations": told[0]["annotations"],
        "externalURL": "http://localhost:9093",
        "alerts": told,
        **changes,
    }


def notification(*alerts: dict[str, Any], **changes: Any) -> Notification:
    return Notification.model_validate(payload(*alerts, **changes))
