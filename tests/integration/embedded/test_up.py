"""One `up` for all these tests: what it shows, and how it keeps its parts."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import urllib.request

import psutil
import pytest
from dotenv import dotenv_values

from tests.integration.embedded.conftest import Installation, Up, log_lines, wait_until


@pytest.fixture(scope="module")
def up(lasting_installation: Installation) -> Up:
    """A running system."""
    started = lasting_installation.start()
    started.wait_ready()
    return started


def test_it_says_what_started_where_it_is_and_how_to_stop_it(lasting_installation: Installation, up: Up):
    ready = dict(re.findall(r"^  (\S+) +ready after +([\d.]+) s", up.text, re.MULTILINE))
    values = dotenv_values(lasting_installation.directory / ".env")

    assert set(ready) == {"valkey", "api", "worker-default-1"}
    assert "embedded form" in up.text.splitlines()[0]
    assert f"http://127.0.0.1:{values['API_PORT']}/docs" in up.text
    assert f"http://127.0.0.1:{values['METRICS_PORT']}/sd/workers" in up.text
    assert "make down" in up.text


def test_it_does_work_and_every_log_line_parses(lasting_installation: Installation, up: Up):
    task_id = lasting_installation.submit_and_wait()

    shown = lasting_installation.command("show", task_id)

    assert shown.returncode == 0
    assert "invoke_agent planner" in shown.stdout
    assert any(line.get("task", {}).get("id") == task_id for line in log_lines(lasting_installation.directory))


def test_a_second_start_says_that_one_runs_already(lasting_installation: Installation, up: Up):
    second = lasting_installation.command("up")

    assert second.returncode == 1
    assert second.stderr == f"agent-service: already running (pid {up.process.pid}); stop it with `make down`\n"


def test_another_directory_on_the_same_port_is_told_which_setting_to_change(lasting_installation: Installation, up: Up):
    port = dotenv_values(lasting_installation.directory / ".env")["API_PORT"]

    other = lasting_installation.command("up", VAR_DIR="var-other")

    assert other.returncode == 1
    assert other.stderr == (
        f"agent-service: port {port} on 127.0.0.1 is taken by another program; set API_PORT in .env\n"
    )


def test_no_password_and_no_key_is_seen_from_outside(lasting_installation: Installation, up: Up):
    var = lasting_installation.directory / "var"
    password = (var / "valkey" / "password").read_text().strip()
    key = str(dotenv_values(lasting_installation.directory / ".env")["API_KEY"])

    for secret_file in (var / "valkey" / "password", var / "valkey" / "valkey.conf", var / "run" / "redis-url"):
        assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    for process in up.descendants():
        assert not any(password in word or key in word for word in process.cmdline())
    for file in (var / "log").iterdir():
        assert password not in file.read_text()
        assert key not in file.read_text()
    for part in ("api", "worker"):
        assert key not in up.part("agent_service", part).environ().values()


def test_valkey_listens_on_this_machine_only_and_asks_for_the_password(up: Up):
    connections = up.part("valkey-server").net_connections("inet")

    assert {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN} == {
        "127.0.0.1"
    }


@pytest.mark.parametrize("part", ["api", "worker"])
def test_a_part_that_dies_is_started_again(lasting_installation: Installation, up: Up, part: str):
    victim = up.part("agent_service", part)

    os.kill(victim.pid, signal.SIGKILL)

    name = "api" if part == "api" else "worker-default-1"
    up.wait_for(f"{name} died (signal SIGKILL); it starts again in ")
    values = dotenv_values(lasting_installation.directory / ".env")
    wait_until(lambda: _ready(f"http://127.0.0.1:{values['API_PORT']}/readyz"), "ready again")
    lasting_installation.submit_and_wait()


def test_down_stops_everything_and_waits(lasting_installation: Installation, up: Up):
    processes = up.descendants()

    down = lasting_installation.command("down")

    assert (down.returncode, down.stdout) == (0, f"Stopped (pid {up.process.pid}).\n")
    assert [process for process in processes if process.is_running()] == []
    assert up.process.wait(5) == 0
    assert lasting_installation.command("down").stdout == "Nothing is running here.\n"


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(json.load(response)["ready"])
    except OSError:
        return False
