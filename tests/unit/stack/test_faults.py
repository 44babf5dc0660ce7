"""`python -m stack fault` and `scaled-rules`, where there is nothing to cause a fault in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stack.engine import REPOSITORY
from stack.env_file import new_env


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    file = tmp_path / ".env"
    file.write_text(new_env("as_key") + "COMPOSE_PROJECT_NAME=agents-no-such-project\n")
    return file


def stack(env_file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack", "--env-file", str(env_file), *words],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("fault", "fire"), 2, "there is no fault 'fire'; there are slow, failures, queue,"),
        (("fault", "worker-down"), 1, "the stack does not run: start it with `make up`"),
        (("fault", "slow"), 1, "the stack does not run: start it with `make up`"),
        (("scaled-rules", "out", "--factor", "3"), 1, "the factor is between 0.01 and 1, not 3"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    env_file: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    done = stack(env_file, *words)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_the_faults_are_listed_whether_the_stack_runs_or_not(env_file: Path) -> None:
    listed = stack(env_file, "fault", "list")

    assert listed.returncode == 0
    assert "valkey-down" in listed.stdout


def test_the_scaled_files_are_named(env_file: Path, tmp_path: Path) -> None:
    done = stack(env_file, "scaled-rules", str(tmp_path / "out"), "--factor", "0.5")

    assert done.returncode == 0
    assert str(tmp_path / "out" / "docker-compose.yml") in done.stdout.splitlines()
