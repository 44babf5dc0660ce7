"""A log file that is rotated by renaming, and that outlives a full disk."""

from __future__ import annotations

import contextvars
import logging
import sys
import time
from io import FileIO
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""How long after a failed write the file is left alone, so that a full disk costs next to no time."""


class LogFile(RotatingFileHandler):
    """Writes one line a record, whole or not at all, and renames full files to `.1`, `.2` and so on.

    While the file cannot be written its lines are lost, and the work goes on: stderr is told once, and when there is
    room again a line in the file says how many are missing. A line that was cut is completed first, so none is torn.
    """

    stream: Any

    def __init__(self, path: Path, *, max_bytes: int, backups: int) -> None:
        """Open the file.

        Args:
            path: Where it is; its directory exists.
            max_bytes: Size past which a new file is begun.
            backups: How many old files are kept.

        Raises:
            OSError: It cannot be opened.
        """
        self._rest = b""
        self._is_away = False
        self._lost = 0
        self._retry_at = 0.0
        super().__init__(path, maxBytes=max_bytes, backupCount=backups)

    def _open(self) -> Any:
        # Unbuffered, so that what was not written is known to the byte.
        return FileIO(self.baseFilename, "ab")

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line, or count it as lost."""
        if self._is_away and time.monotonic() < self._retry_at:
            self._lost += 1
            return
        owes_a_line = bool(self._rest)
        try:
            line = self.format(record).encode("utf-8", "replace") + b"\n"
            self._complete()
            owes_a_line = False
            self._make_room(len(line))
            self._write(line)
        except OSError as error:
            self._note_away(error)
            self._lost += owes_a_line or not self._rest  # a line that was begun now is completed later
        except Exception:  # noqa: BLE001 - as every handler: a line must not cost the work
            self.handleError(record)
        else:
            self._note_back()

    def _complete(self) -> None:
        """Write what is left of a line that was cut."""
        rest, self._rest = self._rest, b""
        self._write(rest, begun=bool(rest))

    def _write(self, line: bytes, *, begun: bool = False) -> None:
        """Write a line; where that fails halfway its end is kept.

        Raises:
            OSError: It failed.
        """
        file = self.stream or self._reopen()
        try:
            while line:
                line = line[file.write(line) :]
                begun = True
        except OSError:
            self._rest = line if begun else b""
            raise

    def _reopen(self) -> Any:
        self.stream = self._open()
        return self.stream

    def _make_room(self, length: int) -> None:
        if self.stream.tell() + length > self.maxBytes:
            self.doRollover()

    def _note_away(self, error: OSError) -> None:
        if not self._is_away:
            sys.stderr.write(
                f"agent-service: {self.baseFilename} cannot be written ({error.strerror}); "
                "log lines are lost until it can, the work goes on\n"
            )
        self._is_away = True
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _note_back(self) -> None:
        if not self._is_away:
            return
        lost, self._lost, self._is_away = self._lost, 0, False
        if lost:
            # In a context of its own: the line belongs to no task.
            contextvars.Context().run(logger.warning, "%d log lines were lost while the log file was full", lost)
