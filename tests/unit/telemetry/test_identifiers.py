"""Ids that sort by time."""

import subprocess
import sys
import time
import uuid

from agent_service.telemetry.identifiers import uuid7

FORK = """
import os, sys
from agent_service.telemetry.identifiers import uuid7
uuid7()
children = []
for _ in range(2):
    if child := os.fork():
        children.append(child)
    else:
        break
os.write(1, "".join(f"{uuid7()}\\n" for _ in range(50)).encode())
for child in children:
    os.waitpid(child, 0)
"""
"""A process of its own forks here: one of the test runner has threads, whose locks a fork may find taken."""


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
    made = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True, timeout=60).stdout
    ids = [line[-12:] for line in made.split()]
    assert len(ids) == 150
    assert len(set(ids)) == len(ids)
