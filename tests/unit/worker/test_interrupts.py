"""A sync agent is ended from outside."""

import signal
import threading
import time

import pytest

from agent_service.worker.interrupts import STOP_SIGNAL, Interrupts, TaskStoppedError, TaskTimeoutError


@pytest.fixture
def interrupts():
    before = {number: signal.getsignal(number) for number in (signal.SIGALRM, STOP_SIGNAL)}
    yield Interrupts()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_sleeping_agent_is_ended_at_its_deadline(interrupts):
    began = time.monotonic()
    with pytest.raises(TaskTimeoutError, match="1 s"), interrupts.armed("e", 1):
        time.sleep(30)
    assert time.monotonic() - began < 10


def test_a_computing_agent_is_stopped_on_request(interrupts):
    def compute():
        threading.Thread(target=interrupts.stop, args=("e",)).start()
        while True:
            sum(range(1000))

    with pytest.raises(TaskStoppedError), interrupts.armed("e", 30):
        compute()


def test_an_agent_that_catches_every_exception_does_not_swallow_its_end(interrupts):
    def agent():
        while True:
            try:
                time.sleep(30)
            except Exception:  # noqa: BLE001
                continue

    with pytest.raises(TaskTimeoutError), interrupts.armed("e", 1):
        agent()


def test_a_stop_for_another_run_does_nothing(interrupts):
    with interrupts.armed("e", 30):
        assert interrupts.stop("other") is False


def test_a_signal_that_comes_after_the_end_does_nothing(interrupts):
    with interrupts.armed("e", 30):
        pass
    assert interrupts.stop("e") is False
    signal.raise_signal(STOP_SIGNAL)
    signal.raise_signal(signal.SIGALRM)
