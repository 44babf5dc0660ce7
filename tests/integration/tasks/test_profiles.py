"""What is kept of profiles, and for how long; and that requests are counted exactly."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from agent_service.settings import Settings
from agent_service.tasks import profiles
from agent_service.tasks.errors import ProfileNotFoundError, WorkerNotFoundError
from agent_service.tasks.profiles import ProfileFilter, ProfileStore, ProfileSummary
from agent_service.telemetry.identifiers import uuid7
from agent_service.telemetry.profiles import Measured, Place, ProfileKind, Row, Unit


@pytest.fixture
def store(redis_client):
    return ProfileStore(redis_client, Settings(profiles_per_agent=3))


def summary(agent="planner", **changes):
    return ProfileSummary(
        id=uuid7(), kind=ProfileKind.LINE, agent=agent, worker="w", started_at=datetime.now(UTC), seconds=1, **changes
    )


def measured(stacks=None):
    top = Row(function="slow", file="mine.py", line=9, self_seconds=1.0, total_seconds=2.0, source="slow()")
    stacks = stacks or {(Place("outer", "mine.py", 1), Place("slow", "mine.py", 9)): 1.5}
    return Measured(Unit.SECONDS, stacks, [top], top, "a note", frozenset({"mine.py"}))


def test_a_profile_is_read_as_it_was_saved(store):
    saved = store.save(summary(), measured())

    read, content = store.get(saved.id)

    assert read == saved
    assert (read.top, read.top_source, read.note, read.total) == ("slow (mine.py:9)", "slow()", "a note", 1.5)
    assert (content.stacks, content.rows, content.own_files) == (
        measured().stacks,
        measured().rows,
        measured().own_files,
    )


def test_profiles_are_found_by_what_they_are_of_newest_first(store):
    first = store.save(summary("planner"), measured())
    second = store.save(summary("writer", task_id="t"), measured())
    third = store.save(summary("planner"), measured())

    assert [found.id for found in store.find(ProfileFilter(), 10)] == [third.id, second.id, first.id]
    assert [found.id for found in store.find(ProfileFilter(agent="planner"), 10)] == [third.id, first.id]
    assert [found.id for found in store.find(ProfileFilter(task_id="t"), 10)] == [second.id]
    assert [found.id for found in store.find(ProfileFilter(agent="planner", worker="w"), 1)] == [third.id]
    assert store.find(ProfileFilter(worker="another"), 10) == []


def test_the_oldest_go_by_agent_and_in_all(store, monkeypatch):
    monkeypatch.setattr(profiles, "PROFILES_LIMIT", 4)
    first = [store.save(summary("planner"), measured()).id for _ in range(4)]
    assert [found.id for found in store.find(ProfileFilter(), 10)] == first[:0:-1]

    others = [store.save(summary(agent), measured()).id for agent in ("a-one", "b-two")]

    assert [found.id for found in store.find(ProfileFilter(), 10)] == [*others[::-1], *first[:1:-1]]
    with pytest.raises(ProfileNotFoundError):
        store.get(first[1])


def test_an_expired_profile_is_not_listed(store, redis_client):
    saved = store.save(summary(), measured())
    redis_client.delete(f"agents:profile:{saved.id}")

    assert store.find(ProfileFilter(), 10) == []
    assert redis_client.zcard("agents:profiles") == 0


def test_a_profile_of_another_version_does_not_spoil_the_list(store, redis_client):
    broken = store.save(summary(), measured())
    redis_client.hset(f"agents:profile:{broken.id}", "summary", b'{"other": 1}')
    sound = store.save(summary(), measured())

    assert [found.id for found in store.find(ProfileFilter(), 10)] == [sound.id]


def test_a_profile_is_bounded_in_bytes_and_keeps_its_heaviest_stacks(store, redis_client):
    rng = random.Random(7)
    stacks = {
        tuple(Place(f"{rng.getrandbits(128):x}", "m.py", depth) for depth in range(30)): float(weight)
        for weight in range(1, 4_000)
    }
    saved = store.save(summary(), measured(stacks))

    assert redis_client.hstrlen(f"agents:profile:{saved.id}", "data") <= profiles.PROFILE_BYTES
    assert max(store.get(saved.id)[1].stacks.values()) == 3_999


def test_no_more_tasks_are_claimed_than_were_asked_for(store):
    store.request_tasks("planner", ProfileKind.LINE, 25)
    assert store.requested_agents() == {"planner": ProfileKind.LINE}

    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda _: store.claim("planner", ProfileKind.LINE), range(200)))

    assert claimed.count(True) == 25
    assert store.requested_agents() == {}


def test_a_request_is_replaced_by_a_later_one(store):
    store.request_tasks("planner", ProfileKind.LINE, 25)
    store.request_tasks("planner", ProfileKind.SAMPLE, 1)

    assert not store.claim("planner", ProfileKind.LINE)
    assert store.claim("planner", ProfileKind.SAMPLE)
    assert not store.claim("planner", ProfileKind.SAMPLE)


def test_a_request_ends_by_itself(store, monkeypatch):
    monkeypatch.setattr(profiles, "REQUEST_SECONDS", -1)
    store.request_tasks("planner", ProfileKind.LINE, 25)

    assert not store.claim("planner", ProfileKind.LINE)
    assert store.requested_agents() == {}


def test_only_a_live_worker_is_asked(store):
    with pytest.raises(WorkerNotFoundError, match="GET /workers"):
        store.request_worker("nobody", uuid7(), ProfileKind.SAMPLE, 1)


def test_the_task_of_a_profile_need_not_be_there_any_more(store, redis_client):
    saved = store.save(summary(task_id="gone"), measured())

    assert store.get(saved.id)[0].task_id == "gone"
    assert not redis_client.exists("rq:job:gone")
