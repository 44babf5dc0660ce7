"""`agent-service fault`, against a service that runs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil
import pytest

from agent_service.embedded.ports import free_port
from tests.integration.embedded.conftest import Installation, Up, wait_until


@dataclass
class Started:
    """A fault that goes on."""

    process: subprocess.Popen[str]

    def wait_for(self, word: str) -> str:
        """Return what it said up to a word."""
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if word in line:
                return said
        raise AssertionError(said)

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Signal it, and return its exit code and what else it said."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out


@pytest.fixture(scope="module")
def up(lasting_installation: Installation) -> Up:
    """The embedded form, with fault agents."""
    started = lasting_installation.start(FAULT_AGENTS="true")
    started.wait_ready()
    return started


@pytest.fixture
def start(lasting_installation: Installation) -> Iterator[Callable[..., Started]]:
    """Starts a fault; what still runs in the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start_fault(*words: str) -> Started:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent_service", "fault", *words],
            cwd=lasting_installation.directory, env=lasting_installation.env,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        running.append(process)
        return Started(process)

    yield start_fault
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def tasks(installation: Installation, agent: str, status: str) -> int:
    listed = installation.command("list", "--agent", agent, "--status", status, "--limit", "200")
    return sum(agent in line for line in listed.stdout.splitlines())


def test_a_fault_is_announced_caused_and_over_after_its_time(lasting_installation: Installation, up: Up) -> None:
    done = lasting_installation.command("fault", "failures", "--seconds", "3", "--factor", "0.05")

    assert done.returncode == 0, done.stderr
    announced, _, rest = done.stdout.partition("failures begins")
    assert "should fire   nothing in 3 s: AgentFailureRatioHigh (critical) takes about 8.5 s" in announced
    assert re.search(r"runbook       http://127\.0\.0\.1:\d+/runbooks/AgentFailureRatioHigh\n", announced)
    assert "by itself after 3 s" in announced
    assert "tasks were submitted" in rest
    assert tasks(lasting_installation, "fault-fail", "failed") >= 3


def test_ctrl_c_ends_a_fault_and_takes_its_tasks_back(
    lasting_installation: Installation, up: Up, start: Callable[..., Started]
) -> None:
    fault = start("queue")
    fault.wait_for("begins")
    wait_until(lambda: tasks(lasting_installation, "fault-sleep", "queued") >= 200, "the queue is full")

    code, said = fault.end()

    assert code == 0
    assert "interrupted, cleaning up" in said
    found = re.search(r"(\d+) tasks were submitted; (\d+) of them were still there and are canceled", said)
    assert found
    assert int(found[1]) == int(found[2]) >= 200
    assert tasks(lasting_installation, "fault-sleep", "queued") == 0
    wait_until(lambda: tasks(lasting_installation, "fault-sleep", "started") == 0, "the running ones are stopped")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_that_are_down_are_brought_back(up: Up, start: Callable[..., Started], number: int) -> None:
    worker = up.part("worker")
    whole = [worker, *worker.children(recursive=True)]
    fault = start("worker-down")

    announced = fault.wait_for("worker is frozen")

    assert f"kill -CONT {' '.join(str(process.pid) for process in whole)}" in announced
    # The signal is sent; when it takes effect is up to the system.
    wait_until(lambda: {process.status() for process in whole} == {psutil.STATUS_STOPPED}, "they are stopped")
    code, said = fault.end(number)
    assert code in {0, 128 + signal.SIGTERM}
    assert "worker goes on" in said
    wait_until(lambda: psutil.STATUS_STOPPED not in {process.status() for process in whole}, "they go on")


def test_without_valkey_the_service_is_not_ready_and_afterwards_it_is(
    lasting_installation: Installation, up: Up, start: Callable[..., Started]
) -> None:
    fault = start("valkey-down")
    fault.wait_for("valkey is frozen")
    wait_until(lambda: up.part("valkey-server").status() == psutil.STATUS_STOPPED, "it is stopped")

    code, said = fault.end()

    assert code == 0
    assert "valkey goes on" in said
    assert lasting_installation.submit_and_wait()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("fire",), 2, "there is no fault 'fire'; there are slow, failures, queue,"),
        (("slow", "--seconds", "0"), 2, "a fault lasts 1 to 1800 seconds, not 0"),
        (("slow", "--seconds", "99999"), 2, "a fault lasts 1 to 1800 seconds, not 99999"),
        (("slow", "--factor", "2"), 2, "the factor is between 0.01 and 1, not 2"),
        (("slow",), 1, "no service at http://127.0.0.1:"),
        (("worker-down",), 1, "nothing runs here whose parts could be taken away: start it with `make up`"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    installation: Installation, words: tuple[str, ...], code: int, message: str
) -> None:
    done = installation.command("fault", *words)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"agent-service: {message}")
    assert done.stderr.count("\n") == 1


def test_without_fault_agents_it_says_how_to_get_them(installation: Installation) -> None:
    installation.start().wait_ready()

    done = installation.command("fault", "slow")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "agent-service: the service does not offer fault-sleep: set FAULT_AGENTS=true in .env and start it again\n"
    )


def test_a_part_that_is_elsewhere_cannot_be_taken_away(installation: Installation, up: Up) -> None:
    url = next(up.output.parent.glob("var/run/redis-url")).read_text().strip()
    installation.start(REDIS_URL=url, API_PORT=str(free_port("127.0.0.1"))).wait_ready()

    done = installation.command("fault", "valkey-down")

    assert done.returncode == 1
    assert done.stderr == (
        "agent-service: the service that runs here has no valkey of its own, so it cannot be taken away\n"
    )


def test_the_faults_are_listed(installation: Installation) -> None:
    listed = installation.command("fault", "list").stdout

    assert re.search(
        r"^worker-down +NoWorkerAlive \(critical\) +3 min 10 s +10 min +no worker runs", listed, re.MULTILINE
    )
