from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent_service.embedded.lock import AlreadyRunningError, UpLock, stop_running


def test_a_second_start_learns_who_runs_and_how_to_stop_it(tmp_path: Path):
    first = UpLock(tmp_path)
    first.acquire()

    with pytest.raises(AlreadyRunningError, match=rf"already running \(pid {os.getpid()}\); stop it with `make down`"):
        UpLock(tmp_path).acquire()
    first.release()


def test_the_lock_is_free_again_after_a_release(tmp_path: Path):
    first = UpLock(tmp_path)
    first.acquire()
    first.release()
    second = UpLock(tmp_path)

    second.acquire()

    assert UpLock(tmp_path).holder() == os.getpid()
    second.release()
    assert UpLock(tmp_path).holder() is None


def test_a_pid_left_behind_by_a_killed_run_holds_nobody_up(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "up.pid").write_text(f"{_dead_pid()}\n")
    lock = UpLock(tmp_path)

    lock.acquire()

    assert UpLock(tmp_path).holder() == os.getpid()
    lock.release()


def test_stopping_where_nothing_runs_is_no_error(tmp_path: Path):
    assert stop_running(tmp_path, timeout=1) is None


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid
