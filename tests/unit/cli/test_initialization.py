from __future__ import annotations

import hashlib
import re
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from agent_service.cli.errors import CommandError
from agent_service.cli.initialization import write_env

EXAMPLE = (Path(__file__).parents[3] / ".env.example").read_text()


def test_it_writes_every_setting_for_the_owner_only(tmp_path: Path):
    (tmp_path / ".env.example").write_text(EXAMPLE)

    file = write_env(tmp_path)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(dotenv_values(file)) == set(dotenv_values(tmp_path / ".env.example"))


@pytest.mark.parametrize("example", [EXAMPLE, None])
def test_the_key_is_random_and_its_digest_lets_it_in(tmp_path: Path, example: str | None):
    keys = []
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        if example:
            (directory / ".env.example").write_text(example)
        values = dotenv_values(write_env(directory))
        key = values["API_KEY"] or ""
        assert re.fullmatch(r"as_[A-Za-z0-9_-]{43}", key)
        assert values["API_KEYS_SHA256"] == f"default:{hashlib.sha256(key.encode()).hexdigest()}"
        keys.append(key)

    assert keys[0] != keys[1]


def test_it_never_overwrites(tmp_path: Path):
    (tmp_path / ".env").write_text("API_KEY=mine\n")

    with pytest.raises(CommandError, match="exists and is not overwritten"):
        write_env(tmp_path)

    assert (tmp_path / ".env").read_text() == "API_KEY=mine\n"
