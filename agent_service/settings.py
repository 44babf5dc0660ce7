"""Every setting of the service, read once from the environment (`.env` is loaded by the command line)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_SECRETS_DIR = Path("/run/secrets")
"""Where a container engine mounts secrets: a file named like a setting, in lower case, is its value."""


class Settings(BaseSettings):
    """All settings; each is an environment variable of the same name in upper case.

    `.env.example` explains every one of them to a user, and a test holds the two together.
    """

    model_config = SettingsConfigDict(
        extra="ignore", env_ignore_empty=True, secrets_dir=_SECRETS_DIR if _SECRETS_DIR.is_dir() else None
    )

    # Where things are
    redis_url: SecretStr | None = None
    var_dir: Path = Path("var")
    environment: str = "local"

    # API
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65535)
    api_url: str = "http://127.0.0.1:8000"
    api_key: SecretStr | None = None
    api_keys_sha256: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)
    max_body_bytes: PositiveInt = 4 * 1024 * 1024
    max_queue_tasks: PositiveInt = 10_000
    callback_allow_private: bool = False
    console_session_hours: PositiveInt = Field(default=12, le=24 * 30)
    console_secure_cookie: bool = False

    # Tasks
    default_timeout_seconds: PositiveInt = 180
    result_ttl_seconds: PositiveInt = 24 * 3600
    failure_ttl_seconds: PositiveInt = 7 * 24 * 3600

    # Agents
    agent_modules: Annotated[tuple[str, ...], NoDecode] = ()
    fault_agents: bool = False

    # Workers
    worker_queues: Annotated[tuple[str, ...], NoDecode] = ("default",)
    worker_replicas: PositiveInt = 2
    worker_async_tasks: PositiveInt = 16
    worker_recycle_tasks: PositiveInt = 50_000
    worker_heartbeat_seconds: PositiveFloat = 5.0
    worker_shutdown_seconds: PositiveFloat = 100.0
    worker_stop_seconds: PositiveFloat = 5.0

    # Telemetry
    telemetry: bool = True
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=9464, ge=0, le=65535)
    worker_metrics_port: int = Field(default=0, ge=0, le=65535)
    metrics_advertise_host: str | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_dir: Path | None = None
    log_file_bytes: PositiveInt = 50 * 1024 * 1024
    log_files: PositiveInt = 10
    log_days: PositiveInt = 14
    journal_hours: NonNegativeInt = 24
    journal_lines: PositiveInt = 1_000
    profile_days: PositiveInt = Field(default=7, le=365)
    profiles_per_agent: PositiveInt = Field(default=20, le=200)

    # Incidents
    alerts_token: SecretStr | None = None
    alerts_token_sha256: str | None = None
    escalation_policy: Path | None = None
    incident_days: PositiveInt = Field(default=90, le=3650)
    incident_reopen_hours: PositiveInt = Field(default=24, le=24 * 365)
    runbooks_dir: Path | None = None
    prometheus_url: str | None = None

    # The embedded form
    embedded_tools: bool = True
    prometheus_port: int = Field(default=9090, ge=1, le=65535)
    alertmanager_port: int = Field(default=9093, ge=1, le=65535)
    jaeger_port: int = Field(default=16686, ge=1, le=65535)

    # Where to look next
    grafana_url: str | None = None
    kibana_url: str | None = None
    jaeger_url: str | None = None
    jaeger_api_url: str | None = None
    elasticsearch_api_url: SecretStr | None = None

    @field_validator("agent_modules", "worker_queues", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Read `a,b` as two names."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("api_keys_sha256", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        """Read `name:sha256hex,other:sha256hex` as a mapping."""
        if not isinstance(value, str):
            return value
        keys: dict[str, str] = {}
        for pair in filter(None, (part.strip() for part in value.split(","))):
            name, separator, digest = pair.partition(":")
            if not separator or not name:
                raise ValueError("expected name:sha256 pairs separated by commas, as `make init` writes them")
            keys[name] = digest.lower()
        return keys

    @field_validator("api_keys_sha256")
    @classmethod
    def _check_digests(cls, value: dict[str, str]) -> dict[str, str]:
        """Refuse what cannot be a SHA-256 digest, such as a key pasted in plain."""
        for name, digest in value.items():
            if not _is_digest(digest):
                raise ValueError(f"the digest of key {name!r} is not 64 hexadecimal digits")
        return value

    @field_validator("alerts_token_sha256")
    @classmethod
    def _check_alerts_digest(cls, value: str | None) -> str | None:
        """Refuse what cannot be a SHA-256 digest, such as the token itself."""
        if value is None or _is_digest(value.lower()):
            return value and value.lower()
        raise ValueError("not 64 hexadecimal digits; `make init` writes the digest of a new token")

    @property
    def journal_seconds(self) -> int:
        """How long a task's own log lines and spans are kept in Redis; 0 keeps none."""
        return self.journal_hours * 3600 if self.telemetry else 0

    @property
    def lowest_level(self) -> str:
        """The lowest level that is logged; without telemetry only what somebody should look into."""
        return self.log_level if self.telemetry or self.log_level == "ERROR" else "WARNING"


def _is_digest(text: str) -> bool:
    return len(text) == 64 and all(character in "0123456789abcdef" for character in text)
