"""Writes the first `.env`."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path

from agent_service.cli.errors import CommandError

KEY_NAME = "default"
KEY_PREFIX = "as_"
ALERTS_PREFIX = "at_"
KEY_BYTES = 32
BARE_TEMPLATE = """\
# Every other setting has a default; the project's .env.example explains them.
API_KEY=
API_KEYS_SHA256=
ALERTS_TOKEN=
ALERTS_TOKEN_SHA256=
"""


def write_env(directory: Path) -> Path:
    """Write `.env` from `.env.example`, with a random API key and token for alerts, for the owner's eyes only.

    Args:
        directory: Where both are; without a `.env.example` only these two are written.

    Returns:
        The file written.

    Raises:
        CommandError: There is a `.env` already, or it cannot be written.
    """
    example = directory / ".env.example"
    template = example.read_text(encoding="utf-8") if example.exists() else BARE_TEMPLATE
    file = directory / ".env"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(f"{file} exists and is not overwritten; move it away to start anew") from None
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(
            fill(
                template,
                key=KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES),
                alerts_token=ALERTS_PREFIX + secrets.token_urlsafe(KEY_BYTES),
            )
        )
    return file


def fill(template: str, *, key: str, alerts_token: str) -> str:
    """Return the template with the key, the token for alerts, and their digests in their places."""
    values = {
        "API_KEY": key,
        "API_KEYS_SHA256": f"{KEY_NAME}:{_digest(key)}",
        "ALERTS_TOKEN": alerts_token,
        "ALERTS_TOKEN_SHA256": _digest(alerts_token),
    }
    for name, value in values.items():
        template = re.sub(rf"^{name}=.*$", f"{name}={value}", template, flags=re.MULTILINE)
    return template


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
