"""A child that is started while Redis is away waits for it, for as long as there is a worker to wait for."""

import os
import signal
from urllib.parse import urlsplit

import psutil
import pytest

from tests.chaos.link import Cut, Link
from tests.integration.system import wait_until


@pytest.fixture
def cut_off(make_system, valkey_url):
    """A system whose worker's new child has no Redis, the worker, the child, and the link to heal."""
    system = make_system()
    system.start_api()
    link = Link(urlsplit(valkey_url).port)
    worker = system.start_worker(REDIS_URL=f"redis://127.0.0.1:{link.port}/0")
    first = system.child_of(worker)
    link.cut(Cut.REFUSED)
    os.kill(first, signal.SIGKILL)

    def waits():
        lines = [line for line in system.log_lines() if line["message"].startswith("Redis is away, waiting for it")]
        return next(
            (line["process"]["pid"] for line in lines if line["process"]["pid"] not in (first, worker.pid)), None
        )

    yield system, worker, wait_until(waits, "a new child waits for Redis"), link
    link.close()


def test_it_takes_tasks_once_redis_is_back(cut_off):
    system, worker, child, link = cut_off
    link.heal()
    system.wait_for(system.submit("fault-sleep", seconds=0), "finished")
    assert system.child_of(worker) == child
    assert system.stop(worker) == 0


def test_it_ends_with_its_worker(cut_off):
    _, worker, child, _ = cut_off
    worker.kill()
    worker.wait(10)
    wait_until(
        lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE, "it ends"
    )
