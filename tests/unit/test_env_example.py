"""`.env.example` is where a user learns of a setting, so it has all of them, as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from agent_service.settings import Settings
from stack.env_file import PASSWORDS
from stack.secret_files import OPTIONAL

EXAMPLE = Path(__file__).parents[2] / ".env.example"


COMPOSE = EXAMPLE.with_name("docker-compose.yml")
SETTINGS = {name.upper() for name in Settings.model_fields}


def compose_variables() -> dict[str, str]:
    """Return the variables that docker-compose.yml reads, with their defaults."""
    found = re.findall(r"\$\{([A-Z0-9_]+)(?::-([^}]*)|:\?[^}]*)?\}", COMPOSE.read_text())
    return {name: default for name, default in found if default} | {
        name: "" for name, default in found if not default and not dict(found).get(name)
    }


def handed_on() -> set[str]:
    """Return the variables that docker-compose.yml hands on by their name alone; OpenTelemetry's own are not ours."""
    found = re.findall(r"^ {2,6}([A-Z0-9_]+):$", COMPOSE.read_text(), flags=re.MULTILINE)
    return {name for name in found if not name.startswith("OTEL_")}


def test_it_names_every_setting_and_nothing_else():
    assert set(dotenv_values(EXAMPLE)) == SETTINGS | set(compose_variables()) | handed_on() | set(OPTIONAL)


def test_its_values_are_the_compose_files_defaults():
    defaults = {name: value for name, value in compose_variables().items() if value != "/dev/null"}
    example = dotenv_values(EXAMPLE)
    assert {name: example[name] for name in defaults} == defaults


def test_it_holds_no_password_of_the_stack():
    example = dotenv_values(EXAMPLE)
    assert {example[name] for name in PASSWORDS} == {""}


def test_each_setting_is_explained():
    lines = EXAMPLE.read_text().splitlines()
    sections = [number for number, line in enumerate(lines) if line.startswith("# ---")]

    for number, line in enumerate(lines):
        if "=" in line and not line.startswith("#"):
            start = max(section for section in sections if section < number)
            assert any(before.startswith("#") for before in lines[start:number])


def test_its_values_are_the_defaults(monkeypatch: pytest.MonkeyPatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    defaults = Settings()
    for name, value in dotenv_values(EXAMPLE).items():
        if name not in SETTINGS:
            continue
        monkeypatch.setenv(name, value or "")

    assert Settings().model_dump() == defaults.model_dump()


def test_it_holds_no_secret():
    values = dotenv_values(EXAMPLE)
    secret = [
        name for name, field in Settings.model_fields.items() if SecretStr in getattr(field.annotation, "__args__", ())
    ]

    assert {"api_key", "redis_url"} <= set(secret)
    assert [values[name.upper()] for name in (*secret, "api_keys_sha256")] == [""] * (len(secret) + 1)
