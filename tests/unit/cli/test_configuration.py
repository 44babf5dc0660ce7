from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent_service.cli.configuration import load_settings
from agent_service.cli.errors import CommandError
from agent_service.settings import Settings


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo afterwards what `.env` brings into the environment."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)


def test_settings_come_from_the_env_file(tmp_path: Path):
    (tmp_path / ".env").write_text("API_PORT=8100\nWORKER_QUEUES=default,slow\n")

    settings = load_settings(tmp_path)

    assert (settings.api_port, settings.worker_queues) == (8100, ("default", "slow"))


def test_the_environment_wins_over_the_env_file(tmp_path: Path):
    (tmp_path / ".env").write_text("API_PORT=8100\n")
    os.environ["API_PORT"] = "8200"

    assert load_settings(tmp_path).api_port == 8200


def test_a_bad_setting_is_one_line_that_names_the_variable_but_not_the_value(tmp_path: Path):
    (tmp_path / ".env").write_text("API_KEYS_SHA256=default:as_a-key-in-plain\nLOG_LEVEL=LOUD\n")

    with pytest.raises(CommandError) as caught:
        load_settings(tmp_path)

    message = str(caught.value)
    assert "\n" not in message
    assert "API_KEYS_SHA256" in message
    assert "LOG_LEVEL" in message
    assert "as_a-key-in-plain" not in message
