"""One embedded form at a time per data directory, and how another process finds it."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

LET_GO_SECONDS = 5.0
"""How long the processes of a supervisor that was killed may take to let go of the data."""
POLL_SECONDS = 0.05


class AlreadyRunningError(Exception):
    """Another supervisor uses the data directory; the message is one line with its pid."""


class UpLock:
    """The lock on a data directory, held as long as any process uses the data in it.

    The kernel drops the lock with the last process that has the file open. The server that writes the data inherits
    it, so that after a `kill -9` of the supervisor nobody starts on data that is still being written.
    """

    def __init__(self, var_dir: Path) -> None:
        self._lock_file = var_dir / "run" / "up.lock"
        self._pid_file = var_dir / "run" / "up.pid"
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The open lock file, for the process that is to hold the lock as well."""
        if self._descriptor is None:
            raise RuntimeError("the lock is not held")
        return self._descriptor

    def acquire(self) -> None:
        """Take the lock and leave the own pid beside it.

        Raises:
            AlreadyRunningError: Another live process holds it.
            OSError: The data directory cannot be written.
        """
        self._lock_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LET_GO_SECONDS
        while not _try_lock(descriptor):
            pid = self._read_pid()
            if pid is not None and _is_alive(pid):
                os.close(descriptor)
                raise AlreadyRunningError(f"already running (pid {pid}); stop it with `make down`")
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise AlreadyRunningError(
                    f"a process of an earlier run still uses {self._lock_file.parent.parent}; end it and try again"
                )
            time.sleep(POLL_SECONDS)
        self._descriptor = descriptor
        self._pid_file.write_text(f"{os.getpid()}\n")

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            self._pid_file.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """Return the pid of the running supervisor, or None when none runs."""
        try:
            descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if _try_lock(descriptor):
                return None
        finally:
            os.close(descriptor)
        pid = self._read_pid()
        return pid if pid is not None and _is_alive(pid) else None

    def _read_pid(self) -> int | None:
        try:
            return int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None


def stop_running(var_dir: Path, *, timeout: float) -> int | None:
    """Ask the running supervisor to stop everything and wait until it has.

    Args:
        var_dir: Its data directory.
        timeout: Longest wait in seconds.

    Returns:
        The pid that it had, or None when none was running.

    Raises:
        TimeoutError: It is still running.
    """
    lock = UpLock(var_dir)
    pid = lock.holder()
    if pid is None:
        return None
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while lock.holder() == pid:
        if time.monotonic() > deadline:
            raise TimeoutError(f"pid {pid} is still stopping after {timeout:.0f} s; `kill -9 {pid}` ends all of it")
        time.sleep(POLL_SECONDS)
    return pid


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
