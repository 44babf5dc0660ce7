"""Starts the stack with scaled rules once, under a name of its own, causes every fault, and takes the stack down.

With FAULT_TEST_KEEP set it is left running, to look around in; the next run starts a new one. FAULT_TEST_FACTOR sets
another factor than 0.1.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from agent_service.cli.faults.catalog import FAULTS
from stack.engine import configuration, missing_images
from stack.preflight import engine_fault
from tests.faults.stack import FaultyStack, Receiver
from tests.faults.story import Story, table, tell
from tests.stack.project import REPOSITORY, UP_SECONDS

COLLEAGUE_SECONDS = 3.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow for the start of the stack and all faults, which count as part of the first test."""
    for item in items:
        item.add_marker(pytest.mark.timeout(3 * UP_SECONDS))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStack]:
    """The stack, up and healthy, with its log lines on their way to Elasticsearch."""
    fault = engine_fault()
    if fault:
        pytest.skip(f"the stack cannot run here: {fault.what}")
    keeps = bool(os.environ.get("FAULT_TEST_KEEP"))
    folder = REPOSITORY / "var" / "fault-test" if keeps else tmp_path_factory.mktemp("faults")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    receiver = Receiver()
    made = FaultyStack(folder, receiver)
    missing = missing_images(configuration(made.env_file))
    if missing:
        pytest.skip(f"the Docker engine lacks {', '.join(missing)}")
    made.compose("down", "--volumes", "--remove-orphans")
    made.compose("build", "--quiet")
    try:
        made.up()
        shipping = made.follow_logs() if made.is_placeholder("logstash") else None
        yield made
        if shipping:
            shipping.kill()
            shipping.wait()
    finally:
        if not keeps:
            made.compose("down", "--volumes", "--timeout", "10")
        made.close()
        receiver.close()


@pytest.fixture(scope="session")
def stories(stack: FaultyStack) -> dict[str, Story]:
    """What became of every fault.

    Those that do not get into each other's way run at the same time. Of critical ones only one waits for somebody at a
    time, since it is the oldest incident of a severity and a team that escalates; and `cpu` gets a core for itself.
    """
    began = time.monotonic()
    told = {name: Story(fault) for name, fault in FAULTS.items()}
    over = threading.Event()
    threads = []

    def colleague() -> None:
        while not over.wait(COLLEAGUE_SECONDS):
            with suppress(httpx.HTTPError):  # while Valkey is away
                stack.acknowledge_others(story.labels for story in told.values())

    def start(*names: str) -> None:
        for name in names:
            threads.append(threading.Thread(target=tell, args=(stack, told[name]), name=name))
            threads[-1].start()

    def after(event: str, *names: str) -> None:
        for name in names:
            assert getattr(told[name], event).wait(UP_SECONDS), name

    helper = threading.Thread(target=colleague, name="colleague")
    helper.start()
    start("memory", "slow", "log-pattern")
    after("is_told", "log-pattern")
    start("failures")
    after("is_over", "log-pattern", "failures", "slow")
    start("crash")
    after("is_over", "crash", "memory")
    start("queue")
    after("is_over", "queue")
    start("cpu")
    after("is_over", "cpu")
    start("worker-down")
    after("is_over", "worker-down")
    start("valkey-down")
    for thread in threads:
        thread.join()
    over.set()
    helper.join()
    print(f"\n{table(told.values())}\n\nAll faults took {time.monotonic() - began:.0f} s.\n")
    return told
