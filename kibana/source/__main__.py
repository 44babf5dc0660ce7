"""Writes the file that is imported into Kibana when the stack starts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kibana.source.agents import saved_objects
from kibana.source.objects import packed

FILE: Final = Path(__file__).parents[1] / "saved_objects" / "agents.ndjson"


def text() -> str:
    """Return the file's text: an object a line."""
    return "".join(f"{packed(each)}\n" for each in saved_objects())


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
