"""`/alerts`: what Alertmanager sends."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from fastapi.openapi.models import Example

from agent_service.api import problems
from agent_service.api.documentation import FOR_ALERTMANAGER, answers_problems
from agent_service.api.routing import AlertsRoute
from agent_service.api.services import ServicesDep
from agent_service.incidents import Notification
from agent_service.incidents.models import AlertReceipt

router = APIRouter(tags=["incidents"], route_class=AlertsRoute)

_LABELS = {"alertname": "AgentFailing", "severity": "critical", "team": "agents", "agent": "summarizer"}
_ANNOTATIONS = {
    "summary": "40 % of the runs of summarizer fail",
    "runbook_url": "http://localhost:8000/runbooks/AgentFailing",
    "dashboard_url": "http://localhost:3000/d/agents",
}
FIRING = {
    "version": "4",
    "groupKey": '{}:{alertname="AgentFailing", team="agents"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "incidents",
    "groupLabels": {"alertname": "AgentFailing", "team": "agents"},
    "commonLabels": _LABELS,
    "commonAnnotations": _ANNOTATIONS,
    "externalURL": "http://localhost:9093",
    "alerts": [
        {
            "status": "firing",
            "labels": _LABELS,
            "annotations": _ANNOTATIONS,
            "startsAt": "2026-11-24T09:00:00.000Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://localhost:9090/graph?g0.expr=up",
            "fingerprint": "6f0f1d6f3a1c2b4d",
        }
    ],
}


@router.post(
    "/alerts",
    summary="Take a notification of Alertmanager",
    response_description="It is kept; the incidents that it concerns, and what it did to each.",
    responses=answers_problems(
        problems.ALERTS_UNAUTHORIZED,
        problems.BODY_TOO_LARGE,
        problems.INVALID_REQUEST,
        problems.QUEUE_UNAVAILABLE,
    ),
    openapi_extra=FOR_ALERTMANAGER,
)
def receive_alerts(
    notification: Annotated[
        Notification, Body(openapi_examples={"firing": Example(summary="An alert fires", value=FIRING)})
    ],
    services: ServicesDep,
) -> AlertReceipt:
    """Open, update, resolve or reopen the incident of a group of alerts, for a `webhook_config`.

    The same notification again changes nothing. While Redis is away the answer is 503, and Alertmanager sends it again.
    """
    return services.incidents.receive(notification)
