"""Reads `.env`, and fills in what in it must be random."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

PASSWORDS = (
    "VALKEY_PASSWORD",
    "ELASTIC_PASSWORD",
    "KIBANA_SYSTEM_PASSWORD",
    "LOGSTASH_WRITER_PASSWORD",
    "GRAFANA_READER_PASSWORD",
    "JAEGER_PASSWORD",
    "METRICS_READER_PASSWORD",
    "GRAFANA_ADMIN_PASSWORD",
    "GRAFANA_SECRET_KEY",
    "KIBANA_SECURITY_KEY",
    "KIBANA_SAVED_OBJECTS_KEY",
    "KIBANA_REPORTING_KEY",
)
"""Everything that is random and that docker-compose.yml insists on."""
HEX_BYTES = 20
"""40 characters: Kibana wants 32 at least, and hexadecimal digits need no quoting anywhere."""


class MissingSettingError(Exception):
    """`.env` lacks something; the message says what, and what to do."""


def read_env(file: Path) -> dict[str, str]:
    """Return the variables of an env file that have a value.

    Raises:
        MissingSettingError: There is no such file.
    """
    if not file.is_file():
        raise MissingSettingError(f"{file} is missing; run `make init`")
    return {name: value for name, value in dotenv_values(file, interpolate=False).items() if value}


def require(values: Mapping[str, str], name: str) -> str:
    """Return a variable.

    Raises:
        MissingSettingError: It is missing or empty.
    """
    if not values.get(name):
        raise MissingSettingError(f"{name} is missing from .env; run `make passwords`")
    return values[name]


def random_password() -> str:
    """Return a new password or key."""
    return secrets.token_hex(HEX_BYTES)


def fill_passwords(text: str) -> str:
    """Return an env file's text in which each password has a value: a new one where there was none."""
    for name in PASSWORDS:
        line = f"{name}={random_password()}"
        if re.search(rf"^{name}=", text, flags=re.MULTILINE):
            text = re.sub(rf"^{name}=[ \t]*$", line, text, flags=re.MULTILINE)
        else:
            text = f"{text.rstrip()}\n{line}\n"
    return text


def fill_missing(file: Path) -> int:
    """Give each password that an env file lacks a random value, and leave the rest as it is.

    Raises:
        MissingSettingError: There is no such file.
    """
    if not file.is_file():
        raise MissingSettingError(f"{file} is missing; run `make init`")
    file.chmod(0o600)
    file.write_text(fill_passwords(file.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def new_env(api_key: str) -> str:
    """Return the text of an env file that has only what has no default."""
    digest = hashlib.sha256(api_key.encode()).hexdigest()
    return fill_passwords(f"API_KEY={api_key}\nAPI_KEYS_SHA256=default:{digest}\n")
