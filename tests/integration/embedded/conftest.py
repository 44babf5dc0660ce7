"""`agent-service up`, for real, in a directory of its own."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent_service.embedded.ports import free_port
from agent_service.settings import Settings

KEY = "as_" + "k" * 43
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.05


def wait_until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Return the first true value of `condition`, or fail."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(POLL_SECONDS)
    return value


@dataclass
class Installation:
    """A directory with an `.env`, and the commands in it."""

    directory: Path
    env: dict[str, str]
    running: list[Up] = field(default_factory=list)

    def command(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "agent_service", *words],
            cwd=self.directory,
            env=self.env | more,
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE_SECONDS,
            check=False,
        )

    def start(self, **more: str) -> Up:
        """Start `up`."""
        output = self.directory / f"up-{len(self.running)}.txt"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "agent_service", "up"],
                cwd=self.directory,
                env=self.env | more,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.running.append(Up(process, output))
        return self.running[-1]

    def submit_and_wait(self) -> str:
        """Have a task done and return its id."""
        done = self.command("submit", "planner", "--input", '{"text": "Hello, world."}', "--wait")
        assert done.returncode == 0, done.stderr
        listed = self.command("list", "--limit", "1")
        return listed.stdout.splitlines()[1].split()[0]


@dataclass
class Up:
    """A started `up`."""

    process: subprocess.Popen[bytes]
    output: Path

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self.output.read_text()

    def wait_ready(self) -> None:
        """Wait until it says that it is ready."""
        wait_until(lambda: "Stop with Ctrl-C" in self.text or self.process.poll() is not None, "ready")
        assert self.process.poll() is None, self.text

    def wait_for(self, text: str) -> None:
        """Wait until it has said something."""
        wait_until(lambda: text in self.text, f"{text!r} in {self.text}")

    def descendants(self) -> list[psutil.Process]:
        """Return every process below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def part(self, *words: str) -> psutil.Process:
        """Return its child with these words in its command line."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if all(word in " ".join(child.cmdline()) for word in words))

    def stop(self, number: int = signal.SIGINT) -> int:
        """Signal it and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A fresh directory on free ports, with one worker."""
    yield from _install(tmp_path)


@pytest.fixture(scope="module")
def lasting_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Likewise, for all tests of a module."""
    yield from _install(tmp_path_factory.mktemp("installation"))


def _install(directory: Path) -> Iterator[Installation]:
    names = {name.upper() for name in Settings.model_fields}
    outside = {name: value for name, value in os.environ.items() if name not in names}
    (directory / ".env").write_text(
        f"API_PORT={free_port('127.0.0.1')}\n"
        f"METRICS_PORT={free_port('127.0.0.1')}\n"
        f"API_KEY={KEY}\n"
        f"API_KEYS_SHA256=default:{hashlib.sha256(KEY.encode()).hexdigest()}\n"
        "WORKER_REPLICAS=1\n"
        "EMBEDDED_TOOLS=false\n"
    )
    installation = Installation(directory, outside)
    yield installation
    for up in installation.running:
        if up.process.poll() is None:
            up.process.kill()
            up.process.wait()


def all_gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    """Return a condition: none of them runs any more."""
    return lambda: not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def log_lines(directory: Path) -> list[dict[str, Any]]:
    """Return every line of every JSON log file."""
    files = (directory / "var" / "log").glob("*.json")
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]
