"""Takes parts of the system away and brings them back."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import psutil

from agent_service.cli.errors import CommandError
from agent_service.embedded.lock import UpLock

WORDS: Final = {"worker": "worker", "valkey": "valkey-server"}
"""By which word of its command line a part of the embedded form is known."""


class Parts(Protocol):
    """The parts of one form of the system."""

    def check(self, part: str) -> None:
        """See to it that the part runs and can be taken away.

        Raises:
            CommandError: It does not, or cannot.
        """

    def take_away(self, part: str) -> str:
        """Take the part away, and return what was done, for the user."""

    def bring_back(self, part: str) -> str:
        """Bring it back, and return what was done; it does no harm where nothing was taken away."""

    def by_hand(self, part: str) -> str:
        """Return the command that brings it back, should this program be killed."""


class EmbeddedParts:
    """The processes of `agent-service up`: they are frozen, since one that ends would be started again at once."""

    def __init__(self, var_dir: Path) -> None:
        self._var_dir = var_dir
        self._frozen: list[psutil.Process] = []

    def check(self, part: str) -> None:
        """See to it that the part runs here.

        Raises:
            CommandError: Nothing runs here, or not with such a part.
        """
        if not self._processes(part):
            raise CommandError(f"the service that runs here has no {part} of its own, so it cannot be taken away")

    def take_away(self, part: str) -> str:
        """Freeze the part's processes."""
        for process in self._processes(part):
            # Noted first: whatever happens next, it is woken again.
            self._frozen.append(process)
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        return f"{part} is frozen (pid {_pids(self._frozen)})"

    def bring_back(self, part: str) -> str:
        """Let the processes go on."""
        woken, self._frozen = self._frozen, []
        for process in reversed(woken):
            with suppress(psutil.NoSuchProcess):
                process.resume()
        return f"{part} goes on"

    def by_hand(self, part: str) -> str:
        """Return the command that wakes the processes."""
        return f"kill -CONT {_pids(self._processes(part))}"

    def _processes(self, part: str) -> list[psutil.Process]:
        """Return the processes of a part, each before its children.

        Raises:
            CommandError: Nothing runs here.
        """
        supervisor = UpLock(self._var_dir).holder()
        if supervisor is None:
            raise CommandError(
                "nothing runs here whose parts could be taken away: start it with `make up`; with Docker, `make fault`"
            )
        tops = [child for child in psutil.Process(supervisor).children() if WORDS[part] in _words(child)]
        return [process for top in tops for process in (top, *top.children(recursive=True))]


def _words(process: psutil.Process) -> list[str]:
    """Return the words of a command line, its program without its folder."""
    with suppress(psutil.Error):
        words = process.cmdline()
        # A server that renames itself is a single word with spaces.
        return [*Path(words[0]).name.split(), *words[1:]] if words else []
    return []


def _pids(processes: list[psutil.Process]) -> str:
    return " ".join(str(process.pid) for process in processes)
