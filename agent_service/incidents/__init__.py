"""Alerts in, the life of an incident, reports out."""

from agent_service.incidents.alertmanager import Notification
from agent_service.incidents.desk import IncidentDesk
from agent_service.incidents.errors import (
    EscalationPolicyError,
    IncidentError,
    IncidentNotFoundError,
    StepOutOfOrderError,
)
from agent_service.incidents.escalation import EscalationPolicy, load_policy
from agent_service.incidents.gauges import IncidentGauges
from agent_service.incidents.models import Incident, IncidentPage, IncidentStatus, IncidentSummary
from agent_service.incidents.review import Reviewer
from agent_service.incidents.runbooks import Runbooks
from agent_service.incidents.store import IncidentStore

__all__ = [
    "EscalationPolicy",
    "EscalationPolicyError",
    "Incident",
    "IncidentDesk",
    "IncidentError",
    "IncidentGauges",
    "IncidentNotFoundError",
    "IncidentPage",
    "IncidentStatus",
    "IncidentStore",
    "IncidentSummary",
    "Notification",
    "Reviewer",
    "Runbooks",
    "StepOutOfOrderError",
    "load_policy",
]
