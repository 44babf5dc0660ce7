"""What Prometheus reads."""

import shutil
import subprocess

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agent_service.telemetry import contract
from tests.integration.system import wait_until

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


@pytest.fixture
def busy(system):
    """Return a system that has seen a success, a failure and a running task."""
    system.wait_for(system.submit("fault-burn-cpu", seconds=0.2), "finished")
    system.wait_for(system.submit("fault-write-disk", megabytes=1), "finished")
    system.wait_for(system.submit("fault-fail", message="no"), "failed")
    system.wait_for(system.submit("fault-sleep", seconds=30), "started")
    wait_until(lambda: system.metric("agent_tasks_in_progress", agent="fault-sleep") == 1, "the task is shown")
    return system


def pages(system, headers=None):
    targets = httpx.get(f"http://127.0.0.1:{system.metrics_port}/sd/workers").raise_for_status().json()
    addresses = [f"127.0.0.1:{system.metrics_port}", *(address for group in targets for address in group["targets"])]
    return [httpx.get(f"http://{address}/metrics", headers=headers).raise_for_status().text for address in addresses]


def test_every_metric_of_the_contract_is_shown(busy):
    shown = set()
    for page in pages(busy):
        shown |= {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}
    expected = {metric.name for metric in contract.METRICS} - {metric.name for metric in contract.RESERVED}
    assert expected <= shown


def test_histograms_carry_exemplars_that_name_the_trace(busy):
    task = busy.http.get("/tasks", params={"agent": "fault-burn-cpu"}).json()["tasks"][0]
    exemplars = {
        (family.name, sample.exemplar.labels[contract.EXEMPLAR_TRACE_ID])
        for page in pages(busy, OPENMETRICS)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.exemplar
    }
    for metric in (contract.TASK_DURATION, contract.TASK_WAIT, contract.TASK_END_TO_END):
        assert (metric.name, task["trace_id"]) in exemplars
    assert any(name == contract.HTTP_DURATION.name for name, _ in exemplars)


def test_what_an_agent_uses_is_counted(busy):
    assert busy.metric("agent_cpu_seconds_total", agent="fault-burn-cpu") >= 0.1
    assert busy.metric("agent_io_bytes_total", agent="fault-write-disk", direction="write") >= 1_000_000
    assert busy.metric("agent_memory_bytes", agent="fault-burn-cpu") > 10_000_000
    assert busy.metric("agent_worker_memory_bytes") > 10_000_000


def test_the_queue_and_its_workers_are_shown(make_system):
    system = make_system()
    system.start_api()
    for _ in range(3):
        system.submit("fault-sleep", seconds=0)
    system.submit("fault-sleep", {"delay_seconds": 1000}, seconds=0)
    wait_until(lambda: system.metric("agent_queue_tasks", queue="default", state="queued") == 3, "three wait")
    assert system.metric("agent_queue_tasks", queue="default", state="scheduled") == 1
    wait_until(lambda: system.metric("agent_queue_oldest_task_seconds", queue="default") > 0, "the oldest has an age")
    assert system.metric("agent_workers", queue="default") == 0
    system.start_worker()
    wait_until(lambda: system.metric("agent_workers", queue="default", state="idle") == 1, "the worker is idle")
    wait_until(lambda: system.metric("agent_queue_tasks", queue="default", state="finished") == 3, "all are done")


def test_routes_are_counted_by_template(busy):
    busy.http.get("/tasks/0192aaaa-0000-7000-8000-000000000000")
    assert busy.samples("http_server_request_duration_seconds_count", http_route="/tasks/{task_id}")
    assert not busy.samples(
        "http_server_request_duration_seconds_count", http_route="/tasks/0192aaaa-0000-7000-8000-000000000000"
    )


def promtool():
    """Return the command of promtool, from the PATH or from the image of Prometheus, or None."""
    if shutil.which("promtool"):
        return ["promtool"]
    image = "prom/prometheus:v3.16.0"
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode == 0
    ):
        return ["docker", "run", "--rm", "-i", "--entrypoint", "/bin/promtool", image]
    return None


def test_promtool_finds_no_fault(busy):
    command = promtool()
    if command is None:
        pytest.skip("promtool is neither on the PATH nor in an image that is here")
    for page in pages(busy):
        done = subprocess.run([*command, "check", "metrics"], input=page, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
