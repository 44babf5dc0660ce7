from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent_service.agents import AgentRegistry, TaskCanceledError, faults


@pytest.fixture(scope="module")
def agents():
    return AgentRegistry([faults])


@pytest.fixture
def run(agents, make_context):
    def run(name, attempt=1, **payload):
        definition = agents[name]
        result = definition.invoke(definition.input_model(**payload), make_context(name, attempt))
        return asyncio.run(result) if definition.is_async else result

    return run


def test_sleep_reports_each_step(run, backend, monkeypatch):
    async def pass_time(seconds):
        assert seconds == pytest.approx(2.5 / 3)

    monkeypatch.setattr(asyncio, "sleep", pass_time)

    assert run("fault-sleep", seconds=2.5).detail == "slept 2.5 s"
    assert [fraction for fraction, _ in backend.progress] == pytest.approx([1 / 3, 2 / 3, 1])


def test_sleep_and_burning_can_be_canceled(run, backend):
    backend.canceled = True

    with pytest.raises(TaskCanceledError):
        run("fault-sleep", seconds=0)
    with pytest.raises(TaskCanceledError):
        run("fault-burn-cpu", seconds=0.01)


def test_block_ignores_cancellation(run, backend):
    backend.canceled = True

    assert run("fault-block", seconds=0).attempt == 1


def test_fail_says_what_it_was_told(run):
    with pytest.raises(RuntimeError, match="no more paper"):
        run("fault-fail", message="no more paper")


def test_fail_times_succeeds_in_the_run_after(run, agents):
    for attempt in (1, 2):
        with pytest.raises(RuntimeError):
            run("fault-fail-times", attempt=attempt, times=2)
    assert run("fault-fail-times", attempt=3, times=2).attempt == 3
    assert agents["fault-fail-times"].retries.attempts == 6
    assert agents["fault-fail-times"].retries.base == timedelta(0)


def test_burn_cpu_uses_the_processor(run):
    before = time.thread_time()
    run("fault-burn-cpu", seconds=0.03)
    assert time.thread_time() - before >= 0.03


def test_held_memory_is_resident(run, backend, monkeypatch):
    def resident_kib():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    grown = []
    before = resident_kib()
    monkeypatch.setattr(time, "sleep", lambda _: grown.append(resident_kib() - before))

    assert run("fault-hold-memory", megabytes=48, seconds=1).detail == "held 48 MiB"
    assert grown[0] > 40 * 1024


def test_write_disk_syncs_and_leaves_nothing(run, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))

    assert run("fault-write-disk", megabytes=2).detail == "wrote 2 MiB"
    assert synced == [2 * 1024 * 1024]
    assert list(tmp_path.iterdir()) == []


def test_crash_sends_its_own_process_the_signal(run, monkeypatch):
    sent = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))

    run("fault-crash", signal="SIGSEGV")
    assert sent == [(os.getpid(), signal.SIGSEGV)]


def test_crash_can_spare_the_second_attempt(run, monkeypatch):
    sent = []
    monkeypatch.setattr(os, "kill", lambda *signal: sent.append(signal))

    assert run("fault-crash", attempt=2, only_first_attempt=True).detail == "survived a crash"
    assert sent == []
    run("fault-crash", attempt=2)
    assert len(sent) == 1


def test_log_writes_the_lines_with_their_fields(run, caplog):
    with caplog.at_level(logging.DEBUG, logger="agents.fault-log"):
        run("fault-log", message="50 % off", level="WARNING", extra={"order": 7}, times=3)

    lines = [(line.levelname, line.getMessage(), line.order) for line in caplog.records]
    assert lines == [("WARNING", "50 % off", 7)] * 3


def test_log_refuses_fields_that_logging_owns(agents):
    with pytest.raises(ValidationError, match="name"):
        agents["fault-log"].input_model(extra={"name": "x"})


def test_the_busy_loop_swallows_what_is_raised_into_it(run, backend):
    """A real signal, as a timeout raises one, must not end it."""
    backend.canceled = True

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.02, signal.raise_signal, [signal.SIGUSR1])
    try:
        timer.start()
        assert run("fault-busy-loop", seconds=0.3).detail == "swallowed 1 exceptions"
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("fault-sleep", {"seconds": 601}),
        ("fault-block", {"seconds": -1}),
        ("fault-burn-cpu", {"seconds": float("inf")}),
        ("fault-busy-loop", {"seconds": float("nan")}),
        ("fault-hold-memory", {"megabytes": 4096}),
        ("fault-write-disk", {"megabytes": 0}),
        ("fault-crash", {"signal": "SIGSTOP"}),
        ("fault-fail-times", {"times": 21}),
        ("fault-log", {"times": 100_001}),
        ("fault-sleep", {"second": 1}),
    ],
)
def test_nothing_can_be_asked_that_would_not_end(agents, name, payload):
    with pytest.raises(ValidationError):
        agents[name].input_model(**payload)
