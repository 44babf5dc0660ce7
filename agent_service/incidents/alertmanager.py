"""Alertmanager's webhook notification, version "4" of its payload.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. Within a version Alertmanager adds
fields, so those that are not known here are let pass; one that is missing, or of another type, is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from agent_service.incidents.models import AlertSnapshot

VERSION: Final = "4"
ESCALATION_LABEL: Final = "escalation"
"""An alert that carries it says that an incident waits for somebody; it is no fault of its own."""
RECEIVER_LABEL: Final = "receiver"
HARMLESS: Final = "none"
"""The severity of an alert that is never for people, such as Watchdog."""
_OLDEST = datetime(1970, 1, 1, tzinfo=UTC)

GroupKey = Annotated[str, StringConstraints(min_length=1, max_length=8_192)]
Labels = dict[str, str]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no moment that a calendar has") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class NotifiedAlert(BaseModel):
    """One alert of a notification.

    Attributes:
        ends_at: When it ended; of a firing alert it means nothing.
    """

    model_config = ConfigDict(frozen=True)

    status: Literal["firing", "resolved"]
    labels: Labels
    annotations: Labels = Field(default_factory=dict)
    starts_at: Moment = Field(alias="startsAt")
    ends_at: AwareDatetime | None = Field(default=None, alias="endsAt")
    generator_url: str = Field(default="", alias="generatorURL")
    fingerprint: str = Field(min_length=1, max_length=128)

    @field_validator("ends_at")
    @classmethod
    def _drop_zero_time(cls, value: datetime | None) -> datetime | None:
        """Read the zero time of Go, the year 1, as none."""
        return None if value is None or value.year < _OLDEST.year else _in_utc(value)

    @property
    def escalation(self) -> str | None:
        """The step of the escalation policy that it tells of."""
        return self.labels.get(ESCALATION_LABEL)

    @property
    def is_fault(self) -> bool:
        """Whether it belongs into an incident."""
        return self.escalation is None and self.labels.get("severity") != HARMLESS

    def snapshot(self) -> AlertSnapshot:
        """Return it as an incident keeps it."""
        firing = self.status == "firing"
        return AlertSnapshot(
            fingerprint=self.fingerprint,
            firing=firing,
            labels=self.labels,
            annotations=self.annotations,
            starts_at=self.starts_at,
            ends_at=None if firing else self.ends_at,
            generator_url=self.generator_url,
        )


class Notification(BaseModel):
    """What Alertmanager sends about one group of alerts."""

    model_config = ConfigDict(frozen=True)

    version: str = Field(description='The version of this payload: "4".', examples=[VERSION])
    group_key: GroupKey = Field(alias="groupKey", description="Names the group of alerts.")
    truncated_alerts: int = Field(default=0, ge=0, alias="truncatedAlerts", description="Alerts that were left out.")
    status: Literal["firing", "resolved"]
    receiver: str
    group_labels: Labels = Field(alias="groupLabels")
    common_labels: Labels = Field(alias="commonLabels")
    common_annotations: Labels = Field(alias="commonAnnotations")
    external_url: str = Field(alias="externalURL", description="Where Alertmanager is.")
    alerts: list[NotifiedAlert] = Field(min_length=1)

    @field_validator("version", mode="before")
    @classmethod
    def _check_version(cls, value: object) -> object:
        """Refuse what may mean something else than it says."""
        if value != VERSION:
            raise PydanticCustomError(
                "alert_payload_version",
                "this service reads version 4 of Alertmanager's webhook payload, not {version}",
                {"version": repr(value)[:40]},
            )
        return value

    @property
    def faults(self) -> list[AlertSnapshot]:
        """The alerts that belong into an incident; where an alert is told twice, the last word counts."""
        return list({alert.fingerprint: alert.snapshot() for alert in self.alerts if alert.is_fault}.values())

    @property
    def escalations(self) -> list[NotifiedAlert]:
        """The alerts that say that an incident waits for somebody."""
        return [alert for alert in self.alerts if alert.escalation is not None and alert.status == "firing"]
