"""`python -m stack COMMAND`: what `make` calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from stack import running
from stack.checks import check
from stack.env_file import MissingSettingError, fill_missing
from stack.faults import fault
from stack.scaled import ScaleError, write_scaled

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
    chosen = _parser().parse_args()
    env_file: Path = chosen.env_file.absolute()
    try:
        match chosen.command:
            case "fault":
                return fault(env_file, chosen.name, chosen.seconds, chosen.factor)
            case "scaled-rules":
                return _scaled_rules(chosen.out, chosen.factor, quiet_hours=chosen.quiet_hours)
            case command:
                return COMMANDS[command][1](env_file)
    except (MissingSettingError, ScaleError) as error:
        running.complain(str(error))
        return running.FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    parser.add_argument("--env-file", type=Path, default=Path(".env"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_, _) in COMMANDS.items():
        commands.add_parser(name, help=help_)
    faulty = commands.add_parser("fault", help="cause a fault for a while, to see the alert that finds it")
    faulty.add_argument("name", metavar="NAME|list", help="which fault; `list` shows all of them")
    faulty.add_argument("--seconds", type=float, help="how long it lasts; without it, until its alert has fired")
    faulty.add_argument("--factor", type=float, default=1.0, help="what `scaled-rules` was given")
    scaled = commands.add_parser(
        "scaled-rules", help="write the rules with other times, for trying them out in seconds"
    )
    scaled.add_argument("out", metavar="OUT", type=Path, help="the folder to write to")
    scaled.add_argument("--factor", type=float, required=True, help="by what times are multiplied, 0.01 to 1")
    scaled.add_argument(
        "--no-quiet-hours", dest="quiet_hours", action="store_false", help="tell of warnings at any time of day"
    )
    return parser


def _scaled_rules(out: Path, factor: float, *, quiet_hours: bool) -> int:
    for file in write_scaled(out, factor, quiet_hours=quiet_hours):
        running.say(str(file))
    return running.OK


if __name__ == "__main__":
    sys.exit(main())
