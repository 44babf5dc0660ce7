"""What becomes of an incident."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.incidents import IncidentStatus, StepOutOfOrderError, lifecycle
from agent_service.incidents.models import Incident, Outcome, StepKind
from tests.unit.incidents.alerts import alert, minutes, notification

ORDER = [
    ("open", "acknowledged"),
    ("acknowledged", "investigating"),
    ("acknowledged", "resolved"),
    ("investigating", "mitigated"),
    ("investigating", "resolved"),
    ("mitigated", "investigating"),
    ("mitigated", "resolved"),
    ("resolved", "reviewed"),
]


def opened(*alerts, **changes) -> Incident:
    incident, outcome = lifecycle.receive(None, notification(*alerts, **changes), minutes(1), "i-1")
    assert outcome is Outcome.OPENED
    assert incident is not None
    return incident


def at(status: str, **changes) -> Incident:
    return opened().model_copy(update={"status": IncidentStatus(status), **changes})


def told(incident, *alerts, minute=10.0):
    after, outcome = lifecycle.receive(incident, notification(*alerts), minutes(minute), "i-2")
    assert after is not None
    return after, outcome


def test_an_alert_opens_an_incident_that_knows_what_the_alert_says():
    incident = opened()
    assert (incident.status, incident.severity, incident.team) == ("open", "critical", "agents")
    assert incident.title == "AgentFailing: 40 % of the runs fail"
    assert incident.runbook_url == "http://localhost:8000/runbooks/AgentFailing"
    assert (incident.opened_at, incident.owner, incident.openings) == (minutes(1), None, 1)
    entry = incident.timeline[0]
    assert (entry.kind, entry.by, entry.at, entry.note) == (
        "opened",
        "alertmanager",
        minutes(1),
        "AgentFailing (agent=a)",
    )


@pytest.mark.parametrize(("status", "step"), list(product(IncidentStatus, IncidentStatus)))
def test_a_step_is_taken_where_it_may_come_and_refused_with_the_right_ones_elsewhere(status, step):
    incident = at(status)
    if (status, step) in ORDER:
        after = lifecycle.take_step(incident, step, "ada", minutes(5), "so be it")
        assert after.status is step
        assert (after.timeline[-1].kind, after.timeline[-1].by, after.timeline[-1].note) == (step, "ada", "so be it")
        return
    with pytest.raises(StepOutOfOrderError) as caught:
        lifecycle.take_step(incident, step, "ada", minutes(5))
    allowed = [following for before, following in ORDER if before == status]
    assert list(caught.value.allowed) == allowed
    assert all(word in str(caught.value) for word in [status, step, *allowed])


def test_who_acknowledges_owns_it_unless_somebody_does():
    assert lifecycle.take_step(at("open"), IncidentStatus.ACKNOWLEDGED, "ada", minutes(5)).owner == "ada"
    owned = at("open", owner="grace")
    assert lifecycle.take_step(owned, IncidentStatus.ACKNOWLEDGED, "ada", minutes(5)).owner == "grace"


@pytest.mark.parametrize("status", IncidentStatus)
def test_notes_and_owners_may_come_at_any_time(status):
    incident = lifecycle.add_note(at(status), "ada", minutes(5), "seen")
    incident = lifecycle.hand_over(incident, "grace", "ada", minutes(6))
    incident = lifecycle.hand_over(incident, None, "grace", minutes(7))
    assert incident.status is status
    assert [(entry.kind, entry.by, entry.note) for entry in incident.timeline[1:]] == [
        ("note", "ada", "seen"),
        ("owner", "ada", "grace"),
        ("owner", "grace", "nobody"),
    ]
    assert incident.owner is None


@pytest.mark.parametrize("status", IncidentStatus)
def test_the_same_notification_again_changes_nothing(status):
    incident = at(status)
    after, outcome = told(incident, alert())
    assert after is incident
    assert outcome is Outcome.UNCHANGED


@pytest.mark.parametrize("status", ["open", "acknowledged", "investigating", "mitigated"])
def test_the_end_of_the_last_alert_resolves_it_from_everywhere(status):
    incident = opened(alert("a"), alert("b")).model_copy(update={"status": IncidentStatus(status)})
    incident, outcome = told(incident, alert("a", status="resolved"), alert("b"))
    assert (incident.status, outcome) == (status, Outcome.UPDATED)
    assert incident.timeline[-1].note == "ended: AgentFailing (agent=a)"
    incident, outcome = told(incident, alert("b", status="resolved"))
    assert (incident.status, outcome, incident.resolved_at) == ("resolved", Outcome.RESOLVED, minutes(10))


def test_another_alert_of_the_group_is_added_and_the_worst_severity_counts():
    incident = at("acknowledged", severity="warning")
    incident, outcome = told(incident, alert("a"), alert("b", severity="info"))
    assert (outcome, incident.severity, incident.status) == (Outcome.UPDATED, "warning", "acknowledged")
    incident, _ = told(incident, alert("c", severity="critical"))
    assert incident.severity == "critical"
    assert [known.fingerprint for known in incident.alerts] == ["a", "b", "c"]


@pytest.mark.parametrize("starts", [minutes(0), minutes(40)])
def test_a_new_firing_reopens_it_and_somebody_has_to_take_it_up_again(starts):
    incident = lifecycle.take_step(opened(), IncidentStatus.ACKNOWLEDGED, "ada", minutes(2))
    incident = lifecycle.escalate(incident, "1", "on-call", minutes(3))
    incident, _ = told(incident, alert(status="resolved"))
    incident, outcome = told(incident, alert(starts=starts), minute=41)
    assert (incident.status, outcome, incident.openings) == ("open", Outcome.REOPENED, 2)
    assert (incident.active_since, incident.opened_at) == (minutes(41), minutes(1))
    assert (incident.acknowledged_at, incident.resolved_at, incident.escalations) == (None, None, [])
    assert incident.owner == "ada"
    assert incident.unacknowledged_seconds(minutes(43)) == 120


def test_what_a_person_resolved_stays_so_while_its_alert_only_goes_on_or_ends():
    incident = at("resolved", resolved_at=minutes(5))
    assert told(incident, alert())[1] is Outcome.UNCHANGED
    incident, outcome = told(incident, alert(status="resolved"))
    assert (incident.status, outcome, incident.resolved_at) == ("resolved", Outcome.UPDATED, minutes(5))
    assert told(incident, alert("b"))[1] is Outcome.REOPENED


def test_a_notification_that_is_older_than_what_is_known_changes_nothing():
    incident = opened(alert(starts=minutes(20)))
    for stale in (alert(), alert(status="resolved")):
        after, outcome = told(incident, stale)
        assert (after, outcome) == (incident, Outcome.UNCHANGED)


def test_alerts_that_have_ended_or_are_never_for_people_open_nothing():
    for harmless in (alert(status="resolved"), alert(severity="none"), alert(escalation="1")):
        assert lifecycle.receive(None, notification(harmless), minutes(1), "i") == (None, Outcome.UNCHANGED)


def test_alerts_without_severity_team_and_summary_make_an_incident_too():
    bare = {**alert(), "labels": {}, "annotations": {}}
    incident = opened(bare)
    assert (incident.title, incident.severity, incident.team) == ("unnamed alert", "unknown", "unknown")
    assert incident.runbook_url is None


def test_a_step_of_the_escalation_is_entered_once_and_only_while_nobody_is_on_it():
    incident = lifecycle.escalate(opened(), "1", "on-call", minutes(6))
    assert (incident.timeline[-1].kind, incident.timeline[-1].note) == ("escalated", "step 1: on-call")
    assert lifecycle.escalate(incident, "1", "on-call", minutes(7)) is incident
    assert lifecycle.escalate(incident, "2", "", minutes(7)).timeline[-1].note == "step 2"
    taken = at("acknowledged")
    assert lifecycle.escalate(taken, "1", "on-call", minutes(6)) is taken


def test_an_alert_that_comes_and_goes_for_days_makes_no_endless_incident(monkeypatch):
    monkeypatch.setattr(lifecycle, "STEPS_KEPT", 6)
    monkeypatch.setattr(lifecycle, "ALERTS_KEPT", 3)
    incident = lifecycle.add_note(opened(), "ada", minutes(2), "I know")
    for number in range(10):
        incident, _ = told(incident, alert(f"a{number}", starts=minutes(number)))
        incident, _ = told(incident, *(alert(f"a{n}", starts=minutes(n), status="resolved") for n in range(number + 1)))
    assert len(incident.timeline) == 6
    assert [entry.kind for entry in incident.timeline[:2]] == [StepKind.OPENED, StepKind.NOTE]
    assert len(incident.alerts) == 3


moves = st.lists(
    st.one_of(
        st.tuples(st.just("alert"), st.sampled_from("abc"), st.sampled_from(["firing", "resolved"]), st.integers(0, 3)),
        st.tuples(st.just("step"), st.sampled_from(list(IncidentStatus))),
        st.tuples(st.just("note")),
    ),
    max_size=30,
)


@given(moves)
def test_whatever_comes_its_state_is_told_by_its_timeline_and_repeats_change_nothing(sequence):
    incident = opened()
    for number, move in enumerate(sequence, start=2):
        before = incident
        if move[0] == "alert":
            _, fingerprint, status, start = move
            notice = notification(alert(fingerprint, status=status, starts=minutes(start)))
            incident, outcome = lifecycle.receive(before, notice, minutes(number), "i-2")
            assert incident is not None
            assert lifecycle.receive(incident, notice, minutes(number + 0.5), "i-3") == (incident, Outcome.UNCHANGED)
            assert (outcome is Outcome.UNCHANGED) == (incident is before)
        elif move[0] == "step" and move[1] in before.status.next_steps:
            incident = lifecycle.take_step(before, move[1], "ada", minutes(number))
        elif move[0] == "note":
            incident = lifecycle.add_note(before, "ada", minutes(number), "n")
        assert Incident.model_validate_json(incident.model_dump_json()) == incident
        assert incident.timeline[: len(before.timeline)] == before.timeline
        assert incident.status.is_active == (incident.resolved_at is None)
        assert (incident.status is IncidentStatus.REVIEWED) == (incident.reviewed_at is not None)
    states = [entry.kind for entry in incident.timeline if entry.kind not in {"note", "owner", "alerts", "escalated"}]
    assert incident.status == states[-1].replace("reopened", "open").replace("opened", "open")
    assert incident.openings == 1 + states.count(StepKind.REOPENED)
