"""`/`: how the whole system is, at a glance."""

from __future__ import annotations

import time

from agent_service.api.console.history import SHOWN_SECONDS
from agent_service.api.console.rendering import Page
from agent_service.api.console.routing import Look
from agent_service.telemetry.contract import QueueState, WorkerState

INCIDENTS_SHOWN = 5


def overview(look: Look) -> Page:
    """Show throughput, queue, success, workers, alerts, incidents, and what the machine does."""
    snapshot = look.console.monitor.snapshot
    incidents = look.services.incidents.store.active()
    firing = sum(alert.firing for incident in incidents for alert in incident.alerts)
    context = {
        "snapshot": snapshot,
        "queued": snapshot.tasks(QueueState.QUEUED),
        "running": snapshot.tasks(QueueState.STARTED),
        "scheduled": (snapshot.tasks(QueueState.SCHEDULED) or 0) + (snapshot.tasks(QueueState.DEFERRED) or 0),
        "dead": snapshot.tasks(QueueState.FAILED),
        "busy": snapshot.workers_in(WorkerState.BUSY),
        "suspended": snapshot.workers_in(WorkerState.SUSPENDED),
        "incidents": incidents[-INCIDENTS_SHOWN:][::-1],
        "open_incidents": len(incidents),
        "unacknowledged": sum(incident.acknowledged_at is None for incident in incidents),
        "firing": firing,
    }
    return Page("overview", "Overview", context, charted=(time.time() - SHOWN_SECONDS, None))
