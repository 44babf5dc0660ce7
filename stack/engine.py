"""Calls `docker`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
COMPOSE_FILE = "docker-compose.yml"
ASK_SECONDS = 60.0
ALL_PROFILES = ("--profile", "*")


class EngineError(Exception):
    """A Docker engine or one of its parts cannot be used; the message is one line that says what to do."""


def ask(*command: str, seconds: float = ASK_SECONDS, folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """Run a short command in a folder and return what it said, whatever its exit code.

    Raises:
        EngineError: The program is not installed, or says nothing for `seconds`.
    """
    try:
        return subprocess.run(  # noqa: S603 - the words come from this package
            command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
        )
    except FileNotFoundError as error:
        raise EngineError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"`{' '.join(command[:3])}` does not answer") from error


def compose_words(env_file: Path, *words: str, root: Path = REPOSITORY) -> list[str]:
    """Return the command line of a compose command."""
    return ["docker", "compose", "--file", str(root / COMPOSE_FILE), "--env-file", str(env_file), *words]


def run_compose(env_file: Path, *words: str) -> int:
    """Run a compose command in front of the user and return its exit code."""
    return subprocess.run(compose_words(env_file, *words), cwd=REPOSITORY, check=False).returncode  # noqa: S603


def configuration(env_file: Path, *, profiles: bool = False, root: Path = REPOSITORY) -> dict[str, Any]:
    """Return the compose project as compose reads it.

    Args:
        env_file: Where the variables are.
        profiles: Whether to show the services of every profile.
        root: The repository.

    Raises:
        EngineError: It cannot be read; the message is compose's own.
    """
    words = (*(ALL_PROFILES if profiles else ()), "config", "--format", "json")
    shown = ask(*compose_words(env_file, *words, root=root))
    if shown.returncode != 0:
        raise EngineError(shown.stderr.strip())
    return dict(json.loads(shown.stdout))


def has_docker() -> bool:
    """Return whether the `docker` command is there."""
    return shutil.which("docker") is not None


def has_image(image: str) -> bool:
    """Return whether the engine has an image."""
    return has_docker() and ask("docker", "image", "inspect", image).returncode == 0


def missing_images(project: dict[str, Any]) -> list[str]:
    """Return the images that the project needs, does not build itself, and that the engine does not have."""
    named = {service["image"] for service in project["services"].values() if "build" not in service}
    return sorted(image for image in named if not has_image(image))
