"""Somebody who waits for a workflow that stands still is told what is in its way."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from agent_service.cli.client import ServiceClient
from agent_service.cli.demo import watch
from agent_service.cli.errors import CommandError
from tests.integration.system import API_KEY, System, wait_until

STALL_SECONDS = 2.0


@pytest.fixture
def api(make_system) -> System:
    system: System = make_system()
    system.start_api()
    return system


def standstill(system: System) -> str:
    """Return what a person is told who waits for a report here."""
    with ServiceClient(f"http://127.0.0.1:{system.api_port}", API_KEY) as client:
        run = client.post("/workflows/document-report", {"text": "# A\n\nA few words on Paris."})
        with pytest.raises(CommandError) as caught:
            watch(client, run["id"], Console(file=io.StringIO()), stall_seconds=STALL_SECONDS)
    return str(caught.value)


def test_no_worker_is_alive(api):
    message = standstill(api)
    assert message.startswith("nothing has moved for 2 s: no worker is alive; `make up`")


def test_no_worker_serves_the_queue(api):
    api.start_worker("elsewhere")
    message = standstill(api)
    assert "waits in queue default, which no worker serves; name it in WORKER_QUEUES" in message


def test_every_worker_is_suspended(api, valkey_url):
    api.start_worker()
    subprocess.run([sys.executable, "-m", "rq.cli", "suspend", "--url", valkey_url], check=True, capture_output=True)
    wait_until(lambda: any("stops taking tasks" in line["message"] for line in api.log_lines()), "it is suspended")
    assert "the workers are suspended; `rq resume`" in standstill(api)


def test_the_workers_are_busy_with_something_else(api):
    api.start_worker()
    task = api.submit("fault-block", seconds=30)
    api.wait_for(task, "started")
    message = standstill(api)
    assert "is queued; queue default has 1 worker, 1 busy" in message
