"""Alertmanager's payload is read strictly, and with what later versions add."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from agent_service.incidents import Notification
from tests.unit.incidents.alerts import alert, notification, payload


def faults(body) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        Notification.model_validate(body)
    return {".".join(map(str, fault["loc"])): fault["msg"] for fault in caught.value.errors()}


@pytest.mark.parametrize("version", ["3", "5", "", 4, None])
def test_another_version_is_refused_by_its_name(version):
    message = "this service reads version 4 of Alertmanager's webhook payload, not " + repr(version)
    assert faults(payload(version=version)) == {"version": message}


@pytest.mark.parametrize(
    "field", ["version", "groupKey", "status", "receiver", "groupLabels", "commonLabels", "alerts"]
)
def test_a_field_that_is_missing_is_named(field):
    body = payload()
    del body[field]
    assert list(faults(body)) == [field]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"groupKey": ""}, "groupKey"),
        ({"groupKey": 7}, "groupKey"),
        ({"status": "pending"}, "status"),
        ({"alerts": []}, "alerts"),
        ({"commonLabels": {"a": 1}}, "commonLabels.a"),
        ({"truncatedAlerts": -1}, "truncatedAlerts"),
        ({"alerts": [{**alert(), "status": "silenced"}]}, "alerts.0.status"),
        ({"alerts": [{**alert(), "fingerprint": ""}]}, "alerts.0.fingerprint"),
        ({"alerts": [{**alert(), "startsAt": "nine"}]}, "alerts.0.startsAt"),
        ({"alerts": [{**alert(), "startsAt": "2026-03-04T09:00:00"}]}, "alerts.0.startsAt"),
        ({"alerts": [{**alert(), "startsAt": "0001-01-01T00:00:00+14:00"}]}, "alerts.0.startsAt"),
        ({"alerts": [{**alert(), "labels": ["a"]}]}, "alerts.0.labels"),
    ],
)
def test_a_field_that_is_something_else_is_named(change, place):
    assert list(faults(payload(**change))) == [place]


def test_what_alertmanager_may_add_is_let_pass():
    body = payload({**alert(), "silencedBy": []}, notificationReason="first")
    assert len(Notification.model_validate(body).faults) == 1


def test_gos_zero_time_is_no_end_and_nanoseconds_are_cut():
    body = {
        **alert(status="resolved"),
        "startsAt": "2026-03-04T10:00:00.123456789+01:00",
        "endsAt": "0001-01-01T00:00:00Z",
    }
    snapshot = notification(body).faults[0]
    assert snapshot.ends_at is None
    assert snapshot.starts_at == datetime(2026, 3, 4, 9, 0, 0, 123456, tzinfo=UTC)


def test_an_alert_told_twice_counts_once():
    told = notification(alert(), alert(status="resolved"))
    assert [snapshot.firing for snapshot in told.faults] == [False]


def test_escalations_and_what_is_never_for_people_are_no_faults():
    told = notification(
        alert(severity="none"), alert("b", escalation="1"), alert("c", escalation="2", status="resolved")
    )
    assert told.faults == []
    assert [entry.escalation for entry in told.escalations] == ["1"]
