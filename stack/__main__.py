"""`python -m stack COMMAND`: what `make` calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from stack import running
from stack.checks import check
from stack.env_file import MissingSettingError, fill_missing

COMMANDS: dict[str, tuple[str, Callable[[Path], int]]] = {
    "up": ("check this machine, start everything, wait until it is healthy", running.up),
    "down": ("stop everything; data stays", running.down),
    "reset": ("stop everything and delete all data, after asking", running.reset),
    "is-up": ("say by the exit code whether it runs", running.is_up),
    "ps": ("show every container and how it is", running.ps),
    "urls": ("print where everything is", running.urls),
    "preflight": ("only check this machine and write the files with the secrets", running.preflight),
    "check": ("check every file of the stack with the program that it is for", lambda _: check()),
    "passwords": ("give every password that has no value in the env file a random one", fill_missing),
}


def main() -> int:
    """Run a command and return its exit code; 3 means that the stack cannot run on this machine."""
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    parser.add_argument("--env-file", type=Path, default=Path(".env"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_, _) in COMMANDS.items():
        commands.add_parser(name, help=help_)
    chosen = parser.parse_args()
    try:
        return COMMANDS[chosen.command][1](chosen.env_file.absolute())
    except MissingSettingError as error:
        running.complain(str(error))
        return running.FAILED


if __name__ == "__main__":
    sys.exit(main())
