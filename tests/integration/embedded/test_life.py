"""How `up` ends, and what stays."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from agent_service.embedded.ports import free_port
from tests.integration.embedded.conftest import Installation, all_gone, wait_until


def test_ctrl_c_stops_all_and_the_next_start_finds_its_data(installation: Installation):
    first = installation.start()
    first.wait_ready()
    task_id = installation.submit_and_wait()
    processes = first.descendants()

    assert first.stop(signal.SIGINT) == 0
    assert [process for process in processes if process.is_running()] == []
    assert first.text.splitlines()[-1] == "Stopped."

    installation.start().wait_ready()
    assert "finished" in installation.command("show", task_id).stdout


def test_kill_9_leaves_no_process_behind_and_loses_no_data(installation: Installation):
    first = installation.start()
    first.wait_ready()
    task_id = installation.submit_and_wait()
    processes = first.descendants()
    assert len(processes) >= 5  # guardian, Valkey, API, worker and its child

    first.process.kill()
    first.process.wait()

    wait_until(all_gone(processes), "all processes gone", 15)
    installation.start().wait_ready()
    assert "finished" in installation.command("show", task_id).stdout


def test_a_second_ctrl_c_kills_what_does_not_want_to_stop(installation: Installation):
    up = installation.start()
    up.wait_ready()
    processes = up.descendants()
    up.part("agent_service", "worker").suspend()

    up.process.send_signal(signal.SIGINT)
    up.wait_for("Stopping")
    up.process.send_signal(signal.SIGINT)

    assert up.process.wait(15) == 0
    wait_until(all_gone(processes), "all processes gone", 15)


def test_a_stop_while_it_starts_is_heard(installation: Installation):
    up = installation.start()
    up.wait_for("valkey")

    assert up.stop(signal.SIGTERM) == 0


def test_a_part_that_cannot_run_stops_all_and_says_why(installation: Installation):
    up = installation.start(AGENT_MODULES="no_such_agents")

    assert up.process.wait(60) == 1
    last = up.text.splitlines()[-1]
    assert "died 3 times in a row" in last
    assert "no_such_agents" in last


def test_in_the_background_it_returns_when_it_is_ready(installation: Installation):
    started = installation.command("up", "--detach")

    try:
        assert started.returncode == 0, started.stderr
        assert "Ready (pid " in started.stdout
        assert installation.command("workers").stdout.count("idle") == 1
    finally:
        assert installation.command("down").returncode == 0


def test_with_a_server_of_the_users_own_none_is_brought_along(installation: Installation, valkey_url: str):
    up = installation.start(REDIS_URL=valkey_url)
    up.wait_ready()

    installation.submit_and_wait()

    assert not any("valkey" in process.name() for process in up.descendants())
    assert not (installation.directory / "var" / "valkey").exists()
    assert up.stop(signal.SIGTERM) == 0


def test_a_server_that_is_not_there_is_one_line(installation: Installation):
    port = free_port("127.0.0.1")

    up = installation.command("up", REDIS_URL=f"redis://:secret@127.0.0.1:{port}/0")

    assert up.returncode == 1
    assert f"Redis at 127.0.0.1:{port} cannot be used" in up.stderr
    assert "secret" not in up.stderr
    assert up.stderr.count("\n") == 1


@pytest.mark.timeout(240)
def test_the_demo_brings_a_service_of_its_own_and_takes_it_away(installation: Installation):
    document = installation.directory / "notes.md"
    document.write_text(
        "# Queue notes\n\n## Valkey\n\nValkey keeps the queue of the tasks. It writes every change to a file, so the "
        "queue survives a restart.\n\n## Workers\n\nWorkers take tasks from the queue and run agents. A worker that "
        "crashes is replaced, and its tasks are handed back to the queue.\n"
    )

    demo = installation.command("demo", str(document))

    assert demo.returncode == 0, demo.stderr
    for text in ("Queue notes", "invoke_agent extractor", "agent_tasks_total", "Where to look next"):
        assert text in demo.stdout
    assert _agent_tasks(demo.stdout) >= 5
    assert installation.command("down").stdout == "Nothing is running here.\n"


def test_agents_beside_the_env_file_are_found(installation: Installation):
    (installation.directory / "my_agents.py").write_text(_readme_example())

    installation.start(AGENT_MODULES="my_agents").wait_ready()

    done = installation.command("submit", "word-count", "--input", '{"text": "two words"}', "--wait")
    assert '"words": 2' in done.stdout


def _agent_tasks(text: str) -> int:
    words = " ".join(text.split())
    return int(words.partition(" agent tasks")[0].rsplit(" ", 1)[-1])


def _readme_example() -> str:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    return readme.partition("```python\n")[2].partition("```")[0]
