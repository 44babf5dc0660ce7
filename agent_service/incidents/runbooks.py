"""Finds the runbooks: what to do about an alert, one Markdown file each, named like the alert."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import agent_service

GUIDES = ("incident-response", "faults")
"""Documents beside the folder of the runbooks that these lead to; they are shown like runbooks, but not listed."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")


def default_directory() -> Path | None:
    """Return where the runbooks of this installation are: beside the package in a checkout, else under `share/`."""
    checkout = Path(agent_service.__file__).parents[1] / "docs" / "runbooks"
    installed = Path(sys.prefix) / "share" / "agent-service" / "runbooks"
    return next((directory for directory in (checkout, installed) if directory.is_dir()), None)


class Runbooks:
    """The runbooks of one directory."""

    def __init__(self, directory: Path | None = None) -> None:
        """Take a directory, or find the one that comes with the service; it is read anew each time."""
        self._directory = directory or default_directory()

    def names(self) -> list[str]:
        """Return the names of all runbooks, in order."""
        return sorted(self._files())

    def text(self, name: str) -> str | None:
        """Return the Markdown of a runbook or a guide, or None where there is none of that name.

        The name is only looked up among those that are there, so it leads nowhere else.
        """
        file = self._files().get(name) or self._guide(name)
        try:
            return file.read_text(encoding="utf-8", errors="replace") if file else None
        except OSError:
            return None

    def like(self, name: str) -> list[str]:
        """Return the names that are most like one that there is none of."""
        by_lower = {known.lower(): known for known in self.names()}
        return [by_lower[match] for match in difflib.get_close_matches(name.lower()[:100], by_lower, n=5, cutoff=0.5)]

    def _guide(self, name: str) -> Path | None:
        if self._directory is None or name not in GUIDES:
            return None
        file = self._directory.parent / f"{name}.md"
        return file if file.is_file() else None

    def _files(self) -> dict[str, Path]:
        return dict(self._walk())

    def _walk(self) -> Iterator[tuple[str, Path]]:
        if self._directory is None or not self._directory.is_dir():
            return
        for file in self._directory.iterdir():
            # README.md is about the runbooks, not one of them.
            if file.suffix == ".md" and file.stem != "README" and _NAME.fullmatch(file.stem) and file.is_file():
                yield file.stem, file
