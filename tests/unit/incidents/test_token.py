"""Alertmanager's token: made by `init`, known to the API by its digest only."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import ValidationError

from agent_service.cli.initialization import write_env
from agent_service.settings import Settings

EXAMPLE = (Path(__file__).parents[3] / ".env.example").read_text()


@pytest.mark.parametrize("example", [EXAMPLE, None])
def test_init_makes_a_random_token_and_its_digest(tmp_path, example):
    tokens = set()
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        if example:
            (directory / ".env.example").write_text(example)
        values = dotenv_values(write_env(directory))
        token = values["ALERTS_TOKEN"] or ""
        assert re.fullmatch(r"at_[A-Za-z0-9_-]{43}", token)
        assert values["ALERTS_TOKEN_SHA256"] == hashlib.sha256(token.encode()).hexdigest()
        tokens.add(token)
    assert len(tokens) == 2


def test_a_digest_is_read_in_either_case_and_nothing_else_is():
    digest = hashlib.sha256(b"token").hexdigest()
    assert Settings(alerts_token_sha256=digest.upper()).alerts_token_sha256 == digest
    with pytest.raises(ValidationError, match="not 64 hexadecimal digits"):
        Settings(alerts_token_sha256="token")
