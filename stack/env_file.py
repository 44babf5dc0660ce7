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
    "ELASTALERT_PASSWORD",
    "GRAFANA_ADMIN_PASSWORD",
    "GRAFANA_SECRET_KEY",
    "KIBANA_SECURITY_KEY",
    "KIBANA_SAVED_OBJECTS_KEY",
    "KIBANA_REPORTING_KEY",
)
"""Everything that is random and that docker-compose.yml insists on."""
HEX_BYTES = 20
"""40 characters: Kibana wants 32 at least, and hexadecimal digits need no quoting anywhere."""


ALERTS_TOKEN = "ALERTS_TOKEN"  # noqa: S105 - the name of a variable
ALERTS_TOKEN_DIGEST = "ALERTS_TOKEN_SHA256"  # noqa: S105 - as well
"""What Alertmanager shows at the API, and all that the API knows of it."""


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
        text = _with_value(text, name, random_password())
    return _fill_alerts_token(text)


def _fill_alerts_token(text: str) -> str:
    """Make the token and its digest together; a digest without a token is somebody's choice, and stays."""
    if re.search(rf"^{ALERTS_TOKEN_DIGEST}=[ \t]*\S", text, flags=re.MULTILINE):
        return text
    token = f"at_{secrets.token_urlsafe(32)}"
    text = re.sub(rf"^{ALERTS_TOKEN}=.*$", f"{ALERTS_TOKEN}=", text, flags=re.MULTILINE)
    text = _with_value(text, ALERTS_TOKEN, token)
    return _with_value(text, ALERTS_TOKEN_DIGEST, hashlib.sha256(token.encode()).hexdigest())


def _with_value(text: str, name: str, value: str) -> str:
    """Give a variable that is missing or empty a value."""
    if re.search(rf"^{name}=", text, flags=re.MULTILINE):
        return re.sub(rf"^{name}=[ \t]*$", f"{name}={value}", text, flags=re.MULTILINE)
    return f"{text.rstrip()}\n{name}={value}\n"


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
