"""What Prometheus is told about incidents."""

from __future__ import annotations

from typing import cast

from agent_service.incidents import IncidentGauges, IncidentStatus, IncidentStore, lifecycle, load_policy
from tests.unit.incidents.alerts import alert, minutes, notification


class Store:
    def __init__(self, *incidents):
        self._incidents = incidents

    def active(self):
        return list(self._incidents)


def incident(minute, status="open", **labels):
    opened, _ = lifecycle.receive(None, notification(alert(**labels)), minutes(minute), f"i-{minute}")
    assert opened is not None
    return opened.model_copy(update={"status": IncidentStatus(status)})


def shown(*incidents):
    gauges = IncidentGauges(cast("IncidentStore", Store(*incidents)), load_policy(), clock=lambda: minutes(10))
    return {
        (sample.metric.name, sample.labels["severity"], sample.labels["team"], sample.labels.get("escalation")): (
            sample.value
        )
        for sample in gauges.samples()
    }


def test_without_incidents_the_teams_of_the_policy_are_at_0():
    samples = shown()
    assert samples["incidents_open", "critical", "agents", None] == 0
    assert samples["incident_unacknowledged_seconds", "warning", "platform", None] == 0
    assert samples["incident_escalation_after_seconds", "critical", "agents", "2"] == 900


def test_the_oldest_that_nobody_took_up_counts():
    samples = shown(incident(2, "acknowledged"), incident(5), incident(7), incident(1, severity="warning"))
    assert samples["incidents_open", "critical", "agents", None] == 3
    assert samples["incident_unacknowledged_seconds", "critical", "agents", None] == 300
    assert samples["incident_unacknowledged_seconds", "warning", "agents", None] == 540


def test_a_team_that_the_policy_names_only_by_a_star_has_its_steps_while_it_has_an_incident():
    samples = shown(incident(5, team="research"))
    assert samples["incident_unacknowledged_seconds", "critical", "research", None] == 300
    assert samples["incident_escalation_after_seconds", "critical", "research", "1"] == 300
