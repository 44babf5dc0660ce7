"""How values read: times, durations, sizes, rates. All times are UTC."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

DASH: Final = "\u2013"
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
SHORT_ID: Final = 8


def clock(moment: datetime | None) -> str:
    """Return the time of day to the second, with the date where that is not today's."""
    if moment is None:
        return DASH
    moment = moment.astimezone(UTC)
    pattern = "%H:%M:%S" if moment.date() == datetime.now(UTC).date() else "%Y-%m-%d %H:%M:%S"
    return moment.strftime(pattern)


def iso(moment: datetime | None) -> str:
    """Return the moment for a `datetime` attribute."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds") if moment else ""


def seconds(value: float | None) -> str:
    """Return a duration with two or three digits that count."""
    if value is None:
        return DASH
    if value == 0:
        return "0 s"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return _long(round(value))


def _long(value: int) -> str:
    minutes, rest = divmod(value, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def ago(moment: datetime | None) -> str:
    """Return how long ago a moment was, in one unit."""
    if moment is None:
        return DASH
    passed = max(timedelta(0), datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if passed >= 2 * length:
            return f"{passed // length:.0f} {unit} ago"
    return f"{passed:.0f} s ago"


def between(begin: datetime | None, end: datetime | None) -> str:
    """Return how long something took, up to now where it has not ended."""
    if begin is None:
        return DASH
    return seconds(max(0.0, ((end or datetime.now(UTC)) - begin).total_seconds()))


def size(value: float | None) -> str:
    """Return a number of bytes in the unit in which it has few digits."""
    if value is None:
        return DASH
    unit = 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"


def speed(value: float | None) -> str:
    """Return bytes a second."""
    return DASH if value is None else f"{size(value)}/s"


def percent(value: float | None) -> str:
    """Return a share; only a whole is told as 100 %."""
    if value is None:
        return DASH
    text = f"{value * 100:.1f}" if value < 0.9995 or value >= 1 else "99.9"
    return f"{text.removesuffix('.0')} %"


def count(value: float | None) -> str:
    """Return a whole number in groups of three digits."""
    return DASH if value is None else f"{round(value):,}".replace(",", "\u202f")


def rate(value: float | None) -> str:
    """Return how many a second, with as many digits as tell something."""
    if value is None:
        return DASH
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}".rstrip("0").rstrip(".")


def pretty(value: Any) -> str:
    """Return JSON for a person."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def short(identifier: str) -> str:
    """Return the part of an id by which a person tells it from its neighbours: the random end."""
    return identifier[-SHORT_ID:]


FILTERS: Final[dict[str, Callable[..., str]]] = {
    function.__name__: function
    for function in (clock, iso, seconds, ago, between, size, speed, percent, count, rate, pretty, short)
}
