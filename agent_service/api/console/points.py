"""What the charts show: one point a moment, in a ring of limited length."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from typing import Final

POINTS_KEPT: Final = 300
DIGITS: Final = 4
"""Significant digits of a value on its way to a browser."""


@dataclass(frozen=True, slots=True)
class Point:
    """The system at one moment; None where nothing is known.

    Attributes:
        at: Unix time in seconds.
        done: Tasks that ended well, a second.
        failed: Attempts that failed for good, timed out or crashed, a second.
        retried: Attempts that will be tried again, a second.
        queued: Tasks that wait.
        running: Tasks that run.
        oldest: How long the task at the head of a queue has waited, in seconds.
        wait: Mean wait of the tasks that started, in seconds.
        run: Mean run of the attempts that ended, in seconds.
        tools: Of that, the part inside tools, in seconds.
        cpu: Share of the host's processors in use.
        memory: Share of the host's memory in use.
        disk_read: Bytes a second from the host's disks.
        disk_write: Bytes a second to them.
        net_in: Bytes a second that the host received.
        net_out: Bytes a second that it sent.
        busy: Workers that run a task.
        workers: Live workers.
    """

    at: float
    done: float | None = None
    failed: float | None = None
    retried: float | None = None
    queued: float | None = None
    running: float | None = None
    oldest: float | None = None
    wait: float | None = None
    run: float | None = None
    tools: float | None = None
    cpu: float | None = None
    memory: float | None = None
    disk_read: float | None = None
    disk_write: float | None = None
    net_in: float | None = None
    net_out: float | None = None
    busy: float | None = None
    workers: float | None = None

    def numbers(self) -> list[float | None]:
        """Return the values in the order of the fields, with the digits that a chart can show."""
        return [round(self.at, 1), *(_short(value) for value in astuple(self)[1:])]


FIELDS: Final = tuple(field.name for field in fields(Point))


class Ring:
    """The last points."""

    def __init__(self, kept: int = POINTS_KEPT) -> None:
        self._points: deque[Point] = deque(maxlen=kept)
        self._lock = threading.Lock()

    def add(self, point: Point) -> None:
        """Add the newest; the oldest goes."""
        with self._lock:
            self._points.append(point)

    def since(self, moment: float) -> list[Point]:
        """Return the points after a moment, oldest first."""
        with self._lock:
            return [point for point in self._points if point.at > moment]

    def last(self) -> float | None:
        """Return when the newest point was, or None where there is none."""
        with self._lock:
            return self._points[-1].at if self._points else None

    def begin(self) -> float | None:
        """Return when the oldest point was, or None where there is none."""
        with self._lock:
            return self._points[0].at if self._points else None


def rows(points: Iterable[Point]) -> list[list[float | None]]:
    """Return points as a browser gets them."""
    return [point.numbers() for point in points]


def _short(value: float | None) -> float | None:
    if value is None:
        return None
    shortened = float(f"{value:.{DIGITS}g}")
    return int(shortened) if shortened.is_integer() else shortened
