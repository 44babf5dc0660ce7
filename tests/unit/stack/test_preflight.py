"""What is wrong with a machine is said before anything starts, with what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from stack import preflight, running
from stack.preflight import compose_fault, is_taken, map_count_fault, memory_fault


@pytest.mark.parametrize("version", ["2.20.0", "v2.40.3", "5.1.0"])
def test_a_new_compose_is_taken(version: str) -> None:
    assert compose_fault(version) is None


@pytest.mark.parametrize("version", ["2.19.1", "1.29.2", ""])
def test_an_old_compose_is_refused(version: str) -> None:
    assert "update it to 2.20" in str(compose_fault(version))


def test_too_little_memory_is_told_in_gigabytes() -> None:
    assert memory_fault(6 * 2**30) is None
    assert "has 2.0 GiB of memory and the stack needs 5" in str(memory_fault(2 * 2**30))


def test_a_low_map_count_is_a_warning_with_the_command() -> None:
    fault = map_count_fault(65530)

    assert map_count_fault(262_144) is None
    assert fault is not None
    assert not fault.fatal
    assert "sudo sysctl -w vm.max_map_count=262144" in str(fault)


def test_a_taken_port_is_seen() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert is_taken("127.0.0.1", taken.getsockname()[1])
    assert not is_taken("127.0.0.1", 0)


def test_without_docker_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(preflight, "has_docker", lambda: False)

    assert running.up(tmp_path / ".env") == running.NOT_HERE

    assert capsys.readouterr().err == "Docker is not installed: see https://docs.docker.com/engine/install/\n"


@pytest.mark.parametrize("answer", ["", "y", "YES", "no"])
def test_data_is_deleted_only_after_a_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, answer: str
) -> None:
    monkeypatch.setattr(running, "run_compose", forbidden)

    assert running.reset(tmp_path / ".env", ask_user=lambda _: answer) == running.FAILED

    assert "Nothing was deleted." in capsys.readouterr().out


def test_a_yes_deletes_the_volumes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(running, "run_compose", lambda _, *words: called.append(words) or 0)

    assert running.reset(tmp_path / ".env", ask_user=lambda _: "yes") == running.OK

    assert "--volumes" in called[0]


def test_places_follow_the_ports() -> None:
    places = {name: url for name, url, _ in running.places({"GRAFANA_PORT": "3100"})}

    assert places["Grafana"] == "http://localhost:3100"
    assert places["API"] == "http://localhost:8000/docs"


def forbidden(*_: object) -> int:
    raise AssertionError("compose was called")
