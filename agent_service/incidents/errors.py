"""What can go wrong with an incident, each with a message that says what to do."""

from __future__ import annotations

from collections.abc import Iterable


class IncidentError(Exception):
    """Base of everything that this room raises for a caller to report."""


class IncidentNotFoundError(IncidentError):
    """There is no such incident, or it is older than incidents are kept."""

    def __init__(self, incident_id: str) -> None:
        super().__init__(
            f"there is no incident {incident_id!r}; they are kept for INCIDENT_DAYS after they are resolved"
        )


class StepOutOfOrderError(IncidentError):
    """The step may not follow the incident's present state.

    Attributes:
        allowed: The steps that may.
    """

    def __init__(self, status: str, step: str, allowed: Iterable[str]) -> None:
        self.allowed = tuple(allowed)
        following = f"next may come: {', '.join(self.allowed)}" if self.allowed else "no step follows it"
        super().__init__(f"the incident is {status} and cannot become {step}; {following}")


class EscalationPolicyError(IncidentError):
    """The escalation policy cannot be used; the message names the file and the place in it."""


class PrometheusAwayError(IncidentError):
    """Prometheus did not answer a question; the message says where it was asked."""
