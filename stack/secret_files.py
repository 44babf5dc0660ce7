"""Writes the files that docker-compose.yml hands to the containers as secrets.

`.env` is the one source; the files are written anew from it at every start. Containers run under users of their own,
so the files are readable for all; the directory around them is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from stack.env_file import ALERTS_TOKEN, PASSWORDS, require

DIRECTORY = Path("var/secrets")
VALKEY_URL = "redis://valkey:6379"
OPTIONAL = (
    ALERTS_TOKEN,
    "ALERT_HEARTBEAT_URL",
    "ALERT_PAGERDUTY_KEY",
    "ALERT_SLACK_URL",
    "ALERT_SMTP_PASSWORD",
    "ALERT_WEBHOOK_URL",
)
"""What Alertmanager does without where it is not set; its file is empty then, since compose wants every file."""


def contents(values: Mapping[str, str]) -> dict[str, str]:
    """Return what belongs into each file, by file name.

    Raises:
        MissingSettingError: A password is missing.
    """
    password = require(values, "VALKEY_PASSWORD")
    return {
        **{name.lower(): require(values, name) for name in PASSWORDS},
        **{name.lower(): values.get(name, "") for name in OPTIONAL},
        "redis_url": f"redis://:{password}@valkey:6379/0",
        "valkey_passwords.json": json.dumps({VALKEY_URL: password}),
    }


def write_secret_files(values: Mapping[str, str], directory: Path) -> None:
    """Write the files, in place, so that a running container sees the new content too.

    Raises:
        MissingSettingError: A password is missing; nothing is written then.
    """
    files = contents(values)
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    for name, content in files.items():
        file = directory / name
        file.touch(mode=0o644)
        file.chmod(0o644)
        file.write_text(content)
