"""Decides in which form `make up` runs the system."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Form(StrEnum):
    """The forms that there are."""

    EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Choice:
    """A form and why.

    Attributes:
        sentence: One line for the user.
    """

    form: Form
    sentence: str


def choose_form() -> Choice:
    """Return the form for this machine."""
    return Choice(Form.EMBEDDED, "Starting the embedded form: plain processes on this machine, without Docker.")
