"""Looks whether this machine can run the stack, before anything is started; each fault comes with its mending."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.engine import EngineError, ask, compose_words, has_docker

LEAST_COMPOSE = (2, 20)
"""Since then `up --wait` counts one-shots that something waits for as done."""
LEAST_MEMORY = 5 * 2**30
"""The limits of all containers and something for the machine."""
LEAST_MAP_COUNT = 262_144
MAP_COUNT_FILE = Path("/proc/sys/vm/max_map_count")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that keeps the stack from running well.

    Attributes:
        what: What is wrong.
        fix: What to do, in one line.
        fatal: Whether there is no use in starting.
    """

    what: str
    fix: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}"


def engine_fault() -> Fault | None:
    """Return what is wrong with the Docker engine or Compose, if anything."""
    if not has_docker():
        return Fault("Docker is not installed", "see https://docs.docker.com/engine/install/")
    try:
        if ask("docker", "info").returncode != 0:
            return Fault("no Docker engine answers", "start it (`sudo systemctl start docker`, or Docker Desktop)")
        version = ask("docker", "compose", "version", "--short")
    except EngineError as error:
        return Fault(str(error), "restart the Docker engine")
    if version.returncode != 0:
        return Fault("Docker Compose is not installed", "see https://docs.docker.com/compose/install/")
    return compose_fault(version.stdout)


def compose_fault(version: str) -> Fault | None:
    """Return what is wrong with a version of Compose, if anything."""
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if found >= LEAST_COMPOSE:
        return None
    wanted = ".".join(map(str, LEAST_COMPOSE))
    return Fault(f"Docker Compose is {version.strip()}", f"update it to {wanted} or newer")


def machine_faults() -> Iterator[Fault]:
    """Yield what is wrong with the machine that the engine runs on."""
    info = ask("docker", "info", "--format", "{{json .}}")
    fault = memory_fault(int(json.loads(info.stdout)["MemTotal"]))
    if fault:
        yield fault
    if MAP_COUNT_FILE.exists():
        fault = map_count_fault(int(MAP_COUNT_FILE.read_text()))
        if fault:
            yield fault


def memory_fault(size: int) -> Fault | None:
    """Return what is wrong with `size` bytes of memory, if anything."""
    if size >= LEAST_MEMORY:
        return None
    return Fault(
        f"the Docker engine has {size / 2**30:.1f} GiB of memory and the stack needs {LEAST_MEMORY / 2**30:.0f}",
        "give it more (Docker Desktop: Settings, Resources), or run without Docker",
    )


def map_count_fault(count: int) -> Fault | None:
    """Return what is wrong with a `vm.max_map_count`, if anything; a single node starts all the same."""
    if count >= LEAST_MAP_COUNT:
        return None
    return Fault(
        f"vm.max_map_count is {count} and Elasticsearch wants {LEAST_MAP_COUNT}",
        f"sudo sysctl -w vm.max_map_count={LEAST_MAP_COUNT}",
        fatal=False,
    )


def port_faults(project: dict[str, Any], env_file: Path) -> Iterator[Fault]:
    """Yield a fault for each port that another program has; those of this project's own containers are no fault."""
    own = _own_ports(env_file)
    for name, service in project["services"].items():
        for port in service.get("ports", []):
            number = int(port["published"])
            if number not in own and is_taken(port.get("host_ip", "127.0.0.1"), number):
                variable = f"{name.upper().replace('-', '_')}_PORT"
                yield Fault(f"port {number} is taken by another program", f"set {variable} in .env to a free one")


def is_taken(host: str, port: int) -> bool:
    """Return whether a port cannot be listened on."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError:
            return True
    return False


def _own_ports(env_file: Path) -> set[int]:
    shown = ask(*compose_words(env_file, "ps", "--format", "json"))
    containers = [json.loads(line) for line in shown.stdout.splitlines()] if shown.returncode == 0 else []
    return {publisher["PublishedPort"] for container in containers for publisher in container["Publishers"] or []}
