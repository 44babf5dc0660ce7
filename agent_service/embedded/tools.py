"""Prometheus, Alertmanager and Jaeger, which join the embedded form where their programs are on the PATH."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import yaml

from agent_service.embedded.addresses import api_url, local_address
from agent_service.embedded.parts import PartPlan
from agent_service.embedded.ports import PortError, free_port, require_free
from agent_service.embedded.tool_files import (
    HOST,
    Addresses,
    ToolFileError,
    alertmanager_config,
    jaeger_config,
    prometheus_config,
)
from agent_service.settings import Settings

STOP_SECONDS: Final = 10.0
PROGRAMS: Final = {
    "jaeger": ("jaeger/config.yml", "/"),
    "alertmanager": ("alertmanager/alertmanager.yml", "/-/ready"),
    "prometheus": ("prometheus/prometheus.yml", "/-/ready"),
}
"""Each program with its configuration in the repository, and the path that answers once it is up."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that joins in.

    Attributes:
        port: Where it listens on the loopback.
        ready_path: What answers 200 once it is up.
    """

    plan: PartPlan
    port: int
    ready_path: str

    @property
    def url(self) -> str:
        """Where it is for a browser of this machine."""
        return f"http://{HOST}:{self.port}"


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The programs that join in, and what the service must know of them.

    Attributes:
        tools: In the order in which they start.
        environment: Settings of the API and the workers that lead to them; those of the user win.
        remarks: A line about each program that is there and yet does not join in.
    """

    tools: tuple[Tool, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def plan_tools(settings: Settings, directory: Path, output_dir: Path) -> Toolbox:
    """Find the programs that are here, write their configuration, and plan their start.

    Args:
        settings: All settings.
        directory: The repository; a program joins in only where its configuration is there.
        output_dir: Where their output goes.

    Raises:
        OSError: The data directory cannot be written.
    """
    ports = {
        "prometheus": settings.prometheus_port,
        "alertmanager": settings.alertmanager_port,
        "jaeger": settings.jaeger_port,
    }
    remarks, found = [], {}
    for name, (config, _) in PROGRAMS.items() if settings.embedded_tools else ():
        program = shutil.which(name)
        if program and (directory / config).is_file():
            try:
                require_free(HOST, ports[name], setting=name.upper())
            except PortError as error:
                remarks.append(f"{name} does not join in: {error}")
            else:
                found[name] = program
    addresses = _addresses(settings, found, ports)
    tools = []
    for name, program in found.items():
        try:
            command = _COMMANDS[name](program, directory, settings.var_dir / name, addresses)
        except (ToolFileError, KeyError, ValueError, TypeError) as error:
            remarks.append(f"{name} does not join in: {error}")
            continue
        plan = PartPlan(name, command, dict(os.environ), output_dir / f"{name}.out", STOP_SECONDS, needed=False)
        tools.append(Tool(plan, ports[name], PROGRAMS[name][1]))
    return Toolbox(tuple(tools), _environment({tool.plan.name: tool for tool in tools}, addresses), tuple(remarks))


def _addresses(settings: Settings, found: Mapping[str, str], ports: Mapping[str, int]) -> Addresses:
    metrics = f"{local_address(settings.metrics_host)}:{settings.metrics_port}"
    here = {name: f"{HOST}:{ports[name]}" for name in found}
    addresses = Addresses(metrics, api_url(settings), here.get("prometheus"), here.get("alertmanager"))
    if "jaeger" not in found:
        return addresses
    spare = [f"{HOST}:{free_port(HOST)}" for _ in range(3)]
    return replace(addresses, jaeger=here["jaeger"], otlp=spare[0], jaeger_telemetry=(spare[1], spare[2]))


def _environment(tools: Mapping[str, Tool], addresses: Addresses) -> dict[str, str]:
    known = {
        "PROMETHEUS_URL": tools["prometheus"].url if "prometheus" in tools else None,
        "JAEGER_URL": tools["jaeger"].url if "jaeger" in tools else None,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{addresses.otlp}" if "jaeger" in tools else None,
    }
    return {name: os.environ.get(name) or value for name, value in known.items() if value}


def _prometheus(program: str, directory: Path, data: Path, addresses: Addresses) -> list[str]:
    config = prometheus_config(directory / PROGRAMS["prometheus"][0], addresses)
    return [
        program,
        f"--config.file={_written(data / 'prometheus.yml', yaml.safe_dump(config))}",
        f"--storage.tsdb.path={data.resolve() / 'data'}",
        "--enable-feature=exemplar-storage",
        f"--web.listen-address={addresses.prometheus}",
    ]


def _alertmanager(program: str, directory: Path, data: Path, addresses: Addresses) -> list[str]:
    settings = {name: value for name, value in os.environ.items() if name.startswith(("ALERT_", "ALERTS_"))}
    config = alertmanager_config(directory / "alertmanager", data / "secrets", addresses, settings)
    return [
        program,
        f"--config.file={_written(data / 'alertmanager.yml', config)}",
        f"--storage.path={data.resolve() / 'data'}",
        f"--web.listen-address={addresses.alertmanager}",
        # One instance needs no gossip, and no port for it.
        "--cluster.listen-address=",
    ]


def _jaeger(program: str, directory: Path, data: Path, addresses: Addresses) -> list[str]:
    spare = {name: free_port(HOST) for name in ("health", "query_grpc", "otlp_grpc")}
    config = jaeger_config(directory / PROGRAMS["jaeger"][0], addresses, spare)
    return [program, "--config", str(_written(data / "config.yml", yaml.safe_dump(config)))]


_COMMANDS: Final[dict[str, Callable[[str, Path, Path, Addresses], list[str]]]] = {
    "prometheus": _prometheus,
    "alertmanager": _alertmanager,
    "jaeger": _jaeger,
}


def _written(file: Path, text: str) -> Path:
    """Write a configuration for the owner only, since it may hold where messages go, and return its whole path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    return file.resolve()
