"""Writes the dashboards, and the page that says which question each panel answers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from grafana.source.boards import BOARDS
from grafana.source.page import page, text_of

REPOSITORY: Final = Path(__file__).parents[2]
DASHBOARDS: Final = REPOSITORY / "grafana" / "dashboards"
PAGE: Final = REPOSITORY / "docs" / "dashboards.md"


def main() -> None:
    """Write every file, and remove dashboards that are none any more."""
    wanted = {DASHBOARDS / f"{board.uid}.json": text_of(board.build()) for board in BOARDS}
    for old in set(DASHBOARDS.glob("*.json")) - set(wanted):
        old.unlink()
    for file, text in wanted.items():
        file.write_text(text, encoding="utf-8")
    PAGE.write_text(page(board.build() for board in BOARDS), encoding="utf-8")


if __name__ == "__main__":
    main()
