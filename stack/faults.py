"""Causes faults in the stack: those that take a part away stop its containers."""

from __future__ import annotations

from pathlib import Path

from dotenv import load_dotenv

from agent_service.cli.configuration import load_settings
from agent_service.cli.errors import CommandError
from agent_service.cli.faults.catalog import find
from agent_service.cli.faults.running import LIST, cause, list_faults
from stack.engine import COMPOSE_FILE, ask, compose_words
from stack.running import FAILED, OK, complain, is_up

STOP_SECONDS = 10
"""How long a part may take to stop before it is killed; a fault has no patience."""
DO_SECONDS = 120.0


class ComposeParts:
    """The containers of a compose project."""

    def __init__(self, env_file: Path) -> None:
        self._env_file = env_file

    def check(self, part: str) -> None:
        """See to it that the part runs.

        Raises:
            CommandError: It does not.
        """
        shown = ask(*compose_words(self._env_file, "ps", "--quiet", "--status", "running", part))
        if shown.returncode != 0 or not shown.stdout.strip():
            raise CommandError(f"the stack runs no {part}: `make ps` shows what runs")

    def take_away(self, part: str) -> str:
        """Stop the containers."""
        self._do("stop", "--timeout", str(STOP_SECONDS), part)
        return f"{part} is stopped"

    def bring_back(self, part: str) -> str:
        """Start the containers again."""
        self._do("start", part)
        return f"{part} is started again"

    def by_hand(self, part: str) -> str:
        """Return the command that starts the containers."""
        return f"docker compose --file {COMPOSE_FILE} --env-file {self._env_file.name} start {part}"

    def _do(self, *words: str) -> None:
        done = ask(*compose_words(self._env_file, *words), seconds=DO_SECONDS)
        if done.returncode != 0:
            raise CommandError(f"`docker compose {' '.join(words)}` failed: {done.stderr.strip()}")


def fault(env_file: Path, name: str, seconds: float | None, factor: float) -> int:
    """Cause a fault in the running stack, or list the faults.

    Args:
        env_file: Where the stack's settings are.
        name: The fault's name, or `list`.
        seconds: How long it lasts; None takes the catalog's word.
        factor: By what the times of the rules are multiplied.
    """
    try:
        if name == LIST:
            list_faults()
            return OK
        chosen = find(name)
        if is_up(env_file) != OK:
            raise CommandError("the stack does not run: start it with `make up`")
        load_dotenv(env_file)
        cause(chosen, load_settings(env_file.parent), ComposeParts(env_file), seconds=seconds, factor=factor)
    except CommandError as error:
        complain(str(error))
        return error.exit_code or FAILED
    return OK
