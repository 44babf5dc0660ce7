"""What the embedded form consists of, worked out from the settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent_service.embedded.addresses import api_url
from agent_service.embedded.parts import PartPlan
from agent_service.embedded.tools import Tool, Toolbox
from agent_service.embedded.valkey import EmbeddedValkey
from agent_service.settings import Settings

API_STOP_SECONDS = 10.0
VALKEY_STOP_SECONDS = 30.0
WORKER_EXTRA_SECONDS = 15.0
"""On top of the time that running tasks have, for the worker to hand back what did not end."""


@dataclass(frozen=True, slots=True)
class SystemPlan:
    """All parts, in the order in which they start.

    Attributes:
        valkey: None where REDIS_URL names a server.
        workers: By name, with the queue that each serves.
        tools: Programs of others that join in.
    """

    valkey: PartPlan | None
    api: PartPlan
    workers: tuple[PartPlan, ...]
    output_dir: Path
    tools: tuple[Tool, ...] = ()

    @property
    def all(self) -> tuple[PartPlan, ...]:
        """Every part."""
        return (
            *((self.valkey,) if self.valkey else ()),
            *(tool.plan for tool in self.tools),
            self.api,
            *self.workers,
        )


def log_dir(settings: Settings) -> Path:
    """Return where the log files of the embedded form are."""
    return settings.log_dir or settings.var_dir / "log"


def plan_system(
    settings: Settings, redis_url: str, valkey: EmbeddedValkey | None, toolbox: Toolbox, *, lock: int
) -> SystemPlan:
    """Work out the parts.

    Args:
        settings: All settings.
        redis_url: The server that the API and the workers use.
        valkey: The server that is brought along, if any.
        toolbox: The programs of others that join in.
        lock: The open lock file, which that server inherits.
    """
    output_dir = log_dir(settings)
    environment = {**_environment(settings, redis_url), **toolbox.environment}
    workers = (
        (f"worker-{queue}-{number}", queue)
        for queue in settings.worker_queues
        for number in range(1, settings.worker_replicas + 1)
    )
    return SystemPlan(
        valkey=_valkey_plan(valkey, output_dir, lock) if valkey else None,
        api=PartPlan("api", _command("api"), environment, output_dir / "api.out", API_STOP_SECONDS),
        workers=tuple(
            PartPlan(
                name,
                _command("worker", "--queue", queue),
                environment,
                output_dir / f"{name}.out",
                settings.worker_shutdown_seconds + WORKER_EXTRA_SECONDS,
            )
            for name, queue in workers
        ),
        output_dir=output_dir,
        tools=toolbox.tools,
    )


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "agent_service", *words]


def _valkey_plan(valkey: EmbeddedValkey, output_dir: Path, lock: int) -> PartPlan:
    return PartPlan(
        "valkey", valkey.command, dict(os.environ), output_dir / "valkey.out", VALKEY_STOP_SECONDS, pass_fds=(lock,)
    )


def _environment(settings: Settings, redis_url: str) -> Mapping[str, str]:
    """Return the environment of the API and the workers.

    Workers of one machine cannot share a metrics port, so each takes a free one. The plain API key is the command
    line's, the alerts' token Alertmanager's; an empty value also keeps the children from reading them out of `.env`.
    """
    return {
        **os.environ,
        "REDIS_URL": redis_url,
        "LOG_DIR": str(log_dir(settings)),
        "API_URL": api_url(settings),
        "WORKER_METRICS_PORT": "0",
        "API_KEY": "",
        "ALERTS_TOKEN": "",
        "PYTHONUNBUFFERED": "1",
    }
