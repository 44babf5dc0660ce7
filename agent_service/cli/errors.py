"""How a command fails."""

from __future__ import annotations


class CommandError(Exception):
    """A command cannot do what it was asked to; the message is one line for the user, without a traceback.

    Attributes:
        exit_code: What the process ends with.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
