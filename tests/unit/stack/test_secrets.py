"""Passwords: random, kept, and in files that the containers can read and other users of the machine cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stack.env_file import PASSWORDS, MissingSettingError, fill_missing, new_env, read_env
from stack.secret_files import write_secret_files


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    file = tmp_path / ".env"
    file.write_text("# A comment\nAPI_KEY=as_key\nVALKEY_PASSWORD=\nELASTIC_PASSWORD=mine\n")
    return file


def test_every_password_gets_a_long_random_value(env_file: Path) -> None:
    fill_missing(env_file)

    values = read_env(env_file)
    filled = [values[name] for name in PASSWORDS if name != "ELASTIC_PASSWORD"]
    assert all(len(value) >= 32 for value in filled)
    assert len(set(filled)) == len(filled)


def test_what_is_there_stays(env_file: Path) -> None:
    fill_missing(env_file)
    before = env_file.read_text()

    fill_missing(env_file)

    assert env_file.read_text() == before
    assert before.startswith("# A comment\nAPI_KEY=as_key\n")
    assert read_env(env_file)["ELASTIC_PASSWORD"] == "mine"
    assert env_file.stat().st_mode & 0o777 == 0o600


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(MissingSettingError, match="run `make init`"):
        read_env(tmp_path / ".env")


def test_a_missing_password_is_named_and_nothing_is_written(env_file: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingSettingError, match="VALKEY_PASSWORD is missing"):
        write_secret_files(read_env(env_file), tmp_path / "secrets")

    assert not (tmp_path / "secrets").exists()


def test_files_are_read_by_containers_only(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(new_env("as_key"))
    values = read_env(tmp_path / ".env")

    write_secret_files(values, tmp_path / "secrets")

    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "secrets").iterdir()} == {0o644}
    password = values["VALKEY_PASSWORD"]
    assert (tmp_path / "secrets/redis_url").read_text() == f"redis://:{password}@valkey:6379/0"
    passwords = json.loads((tmp_path / "secrets/valkey_passwords.json").read_text())
    assert passwords == {"redis://valkey:6379": password}


def test_a_changed_password_reaches_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(new_env("as_key"))
    values = read_env(tmp_path / ".env")
    write_secret_files(values, tmp_path / "secrets")

    write_secret_files({**values, "JAEGER_PASSWORD": "another"}, tmp_path / "secrets")

    assert (tmp_path / "secrets/jaeger_password").read_text() == "another"
