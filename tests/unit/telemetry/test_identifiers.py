"""Ids that sort by time."""

import multiprocessing
import time
import uuid

from agent_service.telemetry.identifiers import uuid7


def test_ids_are_uuids_of_version_7_that_hold_the_time():
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(uuid7())
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert before - 1 <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_ids_of_one_process_are_unique_and_sort_as_they_were_made():
    ids = [uuid7() for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_a_forked_process_makes_ids_of_its_own():
    uuid7()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        theirs = pool.map(_some_ids, range(2))

    ids = [id_[-12:] for id_ in (*_some_ids(0), *theirs[0], *theirs[1])]
    assert len(set(ids)) == len(ids)


def _some_ids(_number):
    return [uuid7() for _ in range(50)]
