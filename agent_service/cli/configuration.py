"""Reads the settings from `.env` and the environment."""

from __future__ import annotations

from pathlib import Path

from dotenv import load_dotenv
from pydantic import ValidationError

from agent_service.cli.errors import CommandError
from agent_service.settings import Settings

ENV_FILE = ".env"


def load_settings(directory: Path | None = None) -> Settings:
    """Load `.env` into the environment, which wins where both name a variable, and return the settings.

    Args:
        directory: Where `.env` is; the current directory by default.

    Raises:
        CommandError: A setting has an impossible value; the message names the variable.
    """
    file = (directory or Path.cwd()) / ENV_FILE
    try:
        load_dotenv(file, override=False)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    try:
        return Settings()
    except ValidationError as error:
        # Never the value itself: it may be a password that was put under the wrong name.
        faults = (f"{'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors())
        raise CommandError(f"bad setting: {'; '.join(faults)}") from None
