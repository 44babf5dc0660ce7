"""What an incident is: plain typed data."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, computed_field

NAME_LIMIT = 100
NOTE_LIMIT = 4_000
ALERTMANAGER = "alertmanager"
"""Who did it, where no person did."""

Name = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A person, or a team, in one line."""
Note = Annotated[str, Field(max_length=NOTE_LIMIT)]


class IncidentStatus(StrEnum):
    """Where an incident is in its life."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    INVESTIGATING = "investigating"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    REVIEWED = "reviewed"

    @property
    def is_active(self) -> bool:
        """Whether it is not over yet."""
        return self not in {IncidentStatus.RESOLVED, IncidentStatus.REVIEWED}

    @property
    def next_steps(self) -> tuple[IncidentStatus, ...]:
        """What a person may make of it next; only an alert opens an incident, and only an alert reopens it."""
        return _NEXT_STEPS[self]


_NEXT_STEPS = {
    IncidentStatus.OPEN: (IncidentStatus.ACKNOWLEDGED,),
    # What turns out to be nothing, or to be over, is resolved without the stations between.
    IncidentStatus.ACKNOWLEDGED: (IncidentStatus.INVESTIGATING, IncidentStatus.RESOLVED),
    IncidentStatus.INVESTIGATING: (IncidentStatus.MITIGATED, IncidentStatus.RESOLVED),
    # A remedy that does not hold sends people back to look for the cause.
    IncidentStatus.MITIGATED: (IncidentStatus.INVESTIGATING, IncidentStatus.RESOLVED),
    IncidentStatus.RESOLVED: (IncidentStatus.REVIEWED,),
    IncidentStatus.REVIEWED: (),
}


class StepKind(StrEnum):
    """What an entry of the timeline tells."""

    OPENED = "opened"
    REOPENED = "reopened"
    ACKNOWLEDGED = "acknowledged"
    INVESTIGATING = "investigating"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    REVIEWED = "reviewed"
    NOTE = "note"
    OWNER = "owner"
    ALERTS = "alerts"
    ESCALATED = "escalated"


class IncidentStep(BaseModel):
    """One entry of the timeline: who did what, and when."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    by: str
    kind: StepKind
    note: str = ""


class AlertSnapshot(BaseModel):
    """One alert of the incident, as Alertmanager last told of it.

    Attributes:
        fingerprint: Alertmanager's name for the alert's labels.
        firing: Whether it still fires.
        ends_at: When it ended; null while it fires.
        generator_url: The expression in Prometheus.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    firing: bool
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: AwareDatetime
    ends_at: AwareDatetime | None = None
    generator_url: str = ""

    @property
    def name(self) -> str:
        """The name of its rule."""
        return self.labels.get("alertname", "unnamed alert")


class IncidentSummary(BaseModel):
    """An incident without its alerts and its timeline.

    Attributes:
        id: A UUIDv7, so ids sort by opening.
        opened_at: When the first alert arrived.
        active_since: When it was opened or last reopened; times to acknowledge and to resolve count from here.
        acknowledged_at: When somebody took it up, this time.
        resolved_at: When it was over; null while it is not.
        openings: How often it was opened, reopenings included.
        runbook_url: What to do, from the alert.
        dashboard_url: Where to look, from the alert.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    status: IncidentStatus
    severity: str
    team: str
    owner: str | None = None
    opened_at: AwareDatetime
    active_since: AwareDatetime
    acknowledged_at: AwareDatetime | None = None
    resolved_at: AwareDatetime | None = None
    reviewed_at: AwareDatetime | None = None
    updated_at: AwareDatetime
    openings: int = 1
    runbook_url: str | None = None
    dashboard_url: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def next_steps(self) -> list[IncidentStatus]:
        """What a person may make of it next."""
        return list(self.status.next_steps)

    def unacknowledged_seconds(self, now: datetime) -> float:
        """Return for how long it has waited for somebody; 0 once somebody has taken it up."""
        return max(0.0, (now - self.active_since).total_seconds()) if self.status is IncidentStatus.OPEN else 0.0


class Incident(IncidentSummary):
    """An incident, as it is now.

    Attributes:
        group_key: Alertmanager's key of the group of alerts that it is about.
        escalations: The steps of the escalation policy that were reached since it was last opened.
    """

    group_key: str
    alerts: list[AlertSnapshot]
    timeline: list[IncidentStep]
    escalations: list[str] = Field(default_factory=list)


class IncidentPage(BaseModel):
    """Incidents, newest first, and where the next page starts."""

    incidents: list[IncidentSummary]
    next_cursor: str | None = None


class Outcome(StrEnum):
    """What a notification did to an incident."""

    OPENED = "opened"
    REOPENED = "reopened"
    UPDATED = "updated"
    RESOLVED = "resolved"
    ESCALATED = "escalated"
    UNCHANGED = "unchanged"


class Effect(BaseModel):
    """What a notification did to one incident."""

    incident_id: str
    outcome: Outcome


class AlertReceipt(BaseModel):
    """That a notification is dealt with, and what it did; nothing where no incident is concerned."""

    effects: list[Effect]
