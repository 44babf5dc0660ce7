"""Incidents on a real server: what is kept, what repeats change, and what happens at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import redis

from agent_service.incidents import (
    IncidentDesk,
    IncidentNotFoundError,
    IncidentStatus,
    IncidentStore,
    StepOutOfOrderError,
    keys,
    load_policy,
)
from agent_service.telemetry.identifiers import uuid7
from agent_service.telemetry.metrics import Metrics
from tests.integration.system import free_port
from tests.unit.incidents.alerts import GROUP, alert, minutes, notification

DAY = 24 * 3600


def receive(desk, *alerts, **changes):
    """Return the incident's id and what happened to it."""
    effects = desk.receive(notification(*alerts, **changes)).effects
    return (effects[0].incident_id, effects[0].outcome) if effects else (None, None)


def value(metrics, name, severity="critical"):
    lines = metrics.render()[0].decode().splitlines()
    labels = f'{name}{{severity="{severity}",team="agents"}} '
    return next((float(line.removeprefix(labels)) for line in lines if line.startswith(labels)), None)


def test_an_incident_lives_from_the_alert_to_the_review(desk, store, metrics, clock):
    assert value(metrics, "incidents_opened_total") == 0
    incident_id, outcome = receive(desk)
    assert outcome == "opened"
    clock.now = minutes(2)
    desk.take_step(incident_id, IncidentStatus.ACKNOWLEDGED, "ada")
    desk.take_step(incident_id, IncidentStatus.INVESTIGATING, "ada")
    desk.add_note(incident_id, "ada", "found it")
    desk.hand_over(incident_id, "grace", "ada")
    clock.now = minutes(40)
    assert receive(desk, alert(status="resolved")) == (incident_id, "resolved")
    desk.take_step(incident_id, IncidentStatus.REVIEWED, "grace")

    incident = store.get(incident_id)
    kinds = ["opened", "acknowledged", "investigating", "note", "owner", "resolved", "reviewed"]
    assert [entry.kind for entry in incident.timeline] == kinds
    assert (incident.owner, incident.status) == ("grace", "reviewed")
    assert value(metrics, "incidents_opened_total") == 1
    assert value(metrics, "incident_time_to_acknowledge_seconds_sum") == 120
    assert value(metrics, "incident_time_to_resolve_seconds_sum") == 2400
    assert store.active() == []


def test_repeats_change_nothing_and_count_nothing(desk, store, metrics, redis_client):
    incident_id, _ = receive(desk, alert("a"), alert("b"))
    document = redis_client.get(keys.incident(incident_id))
    for _ in range(3):
        assert receive(desk, alert("b"), alert("a")) == (incident_id, "unchanged")
    assert redis_client.get(keys.incident(incident_id)) == document
    assert value(metrics, "incidents_opened_total") == 1
    receive(desk, alert("a", status="resolved"), alert("b", status="resolved"))
    assert receive(desk, alert("a", status="resolved"), alert("b", status="resolved"))[1] == "unchanged"
    assert value(metrics, "incident_time_to_resolve_seconds_count") == 1
    assert len(list(store.all())) == 1


def test_the_end_of_what_nobody_knows_opens_nothing(desk, store):
    assert receive(desk, alert(status="resolved")) == (None, None)
    assert receive(desk, alert(severity="none")) == (None, None)
    assert list(store.all()) == []


def test_a_new_firing_reopens_it_and_after_the_review_opens_another(desk, metrics, clock):
    first, _ = receive(desk)
    receive(desk, alert(status="resolved"))
    clock.now = minutes(50)
    assert receive(desk, alert(starts=minutes(45))) == (first, "reopened")
    clock.now = minutes(51)
    desk.take_step(first, IncidentStatus.ACKNOWLEDGED, "ada")
    assert value(metrics, "incident_time_to_acknowledge_seconds_sum") == 60
    receive(desk, alert(starts=minutes(45), status="resolved"))
    desk.take_step(first, IncidentStatus.REVIEWED, "ada")
    second, outcome = receive(desk, alert(starts=minutes(60)))
    assert outcome == "opened"
    assert second != first
    assert value(metrics, "incidents_opened_total") == 3


def test_long_after_its_end_a_new_firing_is_another_incident(redis_client, metrics):
    store = IncidentStore(redis_client, redis_client, kept=timedelta(days=90), reopened=timedelta(hours=24))
    desk = IncidentDesk(store, load_policy(), metrics)
    first, _ = receive(desk)
    assert redis_client.ttl(keys.incident(first)) == -1
    receive(desk, alert(status="resolved"))
    assert 89.9 * DAY < redis_client.ttl(keys.incident(first)) <= 90 * DAY
    assert 0.99 * DAY < redis_client.ttl(keys.group(GROUP)) <= DAY
    redis_client.delete(keys.group(GROUP))  # as its expiry does
    second, outcome = receive(desk, alert(starts=minutes(60)))
    assert outcome == "opened"
    # What is done about the old one does not lead the group away from the new one.
    desk.add_note(first, "ada", "seen")
    desk.take_step(first, IncidentStatus.REVIEWED, "ada")
    assert receive(desk, alert(starts=minutes(60))) == (second, "unchanged")
    assert 89.9 * DAY < redis_client.ttl(keys.incident(first)) <= 90 * DAY
    receive(desk, alert(starts=minutes(60), status="resolved"))
    receive(desk, alert(starts=minutes(70)))
    assert redis_client.ttl(keys.incident(second)) == redis_client.ttl(keys.group(GROUP)) == -1


def test_one_that_expired_leaves_the_lists(desk, store, redis_client):
    gone, _ = receive(desk)
    redis_client.delete(keys.incident(gone))
    assert list(store.all()) == []
    assert redis_client.zcard(keys.ALL_INCIDENTS) == 0
    with pytest.raises(IncidentNotFoundError, match=gone):
        desk.add_note(gone, "ada", "x")
    assert receive(desk)[1] == "opened"


def test_pages_are_filtered_newest_first_and_complete(desk, store):
    ids = [
        receive(desk, alert(severity=severity, team=team), group=f"{severity} {team} {number}")[0]
        for number in range(3)
        for severity in ("critical", "warning")
        for team in ("agents", "platform")
    ]
    desk.take_step(ids[0], IncidentStatus.ACKNOWLEDGED, "ada")

    def walk(**filters):
        cursor, found = None, []
        while True:
            page = store.page(limit=2, cursor=cursor, **filters)
            found += [incident.id for incident in page.incidents]
            cursor = page.next_cursor
            if cursor is None:
                return found

    assert walk() == ids[::-1]
    assert walk(severity="critical", team="agents") == ids[0::4][::-1]
    assert walk(status=IncidentStatus.ACKNOWLEDGED) == [ids[0]]
    assert walk(team="nobody") == []


def test_an_escalation_is_entered_where_it_is_due_and_opens_nothing(desk, store, clock):
    old, _ = receive(desk, group="old")
    other, _ = receive(desk, alert(team="platform"), group="other")
    clock.now = minutes(4)
    young, _ = receive(desk, group="young")
    clock.now = minutes(6)
    due = alert("e", alertname="IncidentUnacknowledged", escalation="1", receiver="on-call")
    told = notification(due, group="escalation")
    assert [(effect.incident_id, effect.outcome) for effect in desk.receive(told).effects] == [(old, "escalated")]
    assert desk.receive(told).effects == []
    assert [entry.note for entry in store.get(old).timeline if entry.kind == "escalated"] == ["step 1: on-call"]
    assert not store.get(young).escalations
    assert not store.get(other).escalations
    assert len(list(store.all())) == 3


def at_once(valkey_url, count, work):
    """Run `work(number, desk)` so many times, each on a connection of its own, as nearly at once as threads can."""
    start = threading.Barrier(count)

    def run(number):
        with redis.Redis.from_url(valkey_url) as client:
            store = IncidentStore(client, client, kept=timedelta(days=1), reopened=timedelta(days=1))
            desk = IncidentDesk(store, load_policy(), Metrics(), lambda: datetime.now(UTC))
            start.wait()
            return work(number, desk)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def test_two_first_notices_of_a_group_open_one_incident(valkey_url, store, redis_client):
    for round_ in range(20):
        results = at_once(valkey_url, 4, lambda _, desk, group=str(round_): receive(desk, group=group))
        assert len({incident_id for incident_id, _ in results}) == 1
        assert sorted(outcome for _, outcome in results) == ["opened", "unchanged", "unchanged", "unchanged"]
    assert len(list(store.all())) == 20


def test_nobodys_update_is_lost(valkey_url, desk, store):
    incident_id, _ = receive(desk)

    def work(number, own):
        for step in range(10):
            own.add_note(incident_id, f"person {number}", f"{number}-{step}")
            receive(own, alert(f"{number}-{step}"))

    at_once(valkey_url, 4, work)
    incident = store.get(incident_id)
    pairs = {f"{number}-{step}" for number in range(4) for step in range(10)}
    assert {entry.note for entry in incident.timeline if entry.kind == "note"} == pairs
    assert {known.fingerprint for known in incident.alerts} == pairs | {"a"}


def test_only_one_of_two_people_acknowledges_it(valkey_url, desk, store):
    incident_id, _ = receive(desk)

    def work(number, own):
        try:
            own.take_step(incident_id, IncidentStatus.ACKNOWLEDGED, f"person {number}")
        except StepOutOfOrderError:
            return None
        return f"person {number}"

    winners = [name for name in at_once(valkey_url, 4, work) if name]
    assert winners == [store.get(incident_id).owner]


def test_nothing_is_told_to_be_kept_while_the_server_is_away(metrics):
    with redis.Redis(port=free_port(), socket_connect_timeout=1) as client:
        store = IncidentStore(client, client, kept=timedelta(days=1), reopened=timedelta(days=1))
        desk = IncidentDesk(store, load_policy(), metrics)
        with pytest.raises(redis.ConnectionError):
            receive(desk)
        with pytest.raises(redis.ConnectionError):
            desk.add_note(uuid7(), "ada", "x")
    assert value(metrics, "incidents_opened_total") == 0
