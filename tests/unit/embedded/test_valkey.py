from __future__ import annotations

import stat
from pathlib import Path

from agent_service.embedded.valkey import prepare_valkey


def test_only_the_owner_reads_password_and_configuration(tmp_path: Path):
    prepare_valkey(tmp_path / "valkey", 7000)

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "valkey").iterdir()}
    assert modes == {"password": 0o600, "valkey.conf": 0o600}
    assert stat.S_IMODE((tmp_path / "valkey").stat().st_mode) == 0o700


def test_the_password_stays_from_start_to_start_and_off_the_command_line(tmp_path: Path):
    first = prepare_valkey(tmp_path, 7000)
    second = prepare_valkey(tmp_path, 7001)

    assert first.password == second.password
    assert len(first.password) >= 32
    assert not any(first.password in word for word in first.command)
    assert first.password not in repr(first)


def test_the_server_keeps_what_it_acknowledged_and_is_reached_from_this_machine_only(tmp_path: Path):
    config = prepare_valkey(tmp_path / "with space", 7000).config_file.read_text()

    for line in (
        "bind 127.0.0.1",
        "port 7000",
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
    ):
        assert line in config.splitlines()
    assert f'dir "{tmp_path / "with space"}"' in config.splitlines()
