"""Decides whether, and how soon, a part that died is started again."""

from __future__ import annotations

from dataclasses import dataclass

EARLY_SECONDS = 10.0
"""A part that lived for less never really worked."""
EARLY_DEATHS = 3
FIRST_WAIT = 0.25


@dataclass(slots=True)
class RestartPolicy:
    """Counts the early deaths of one part."""

    early_deaths: int = 0

    def wait_after(self, lived: float) -> float | None:
        """Return the wait in seconds before the next start, or None when there is no hope.

        Args:
            lived: How long the part lived, in seconds.
        """
        self.early_deaths = self.early_deaths + 1 if lived < EARLY_SECONDS else 0
        if self.early_deaths >= EARLY_DEATHS:
            return None
        wait: float = FIRST_WAIT * 2**self.early_deaths
        return wait
