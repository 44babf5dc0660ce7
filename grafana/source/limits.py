"""The limits at which Prometheus alerts, read from its rules, so that a dashboard turns red where an alert fires."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

RULES: Final = Path(__file__).parents[2] / "prometheus" / "rules"
_COMPARISON: Final = re.compile(r"(<=|>=|<|>)\s*(?:bool\s+)?\(?\s*([0-9][\w.*/+\- ]*)")
_ARITHMETIC: Final = re.compile(r"[0-9.e*/+\- ]+")
GOOD: Final = "green"
COLORS: Final = {"critical": "red", "warning": "orange", "info": "yellow", "none": "blue"}
"""The color of each severity."""
GRAVITY: Final = ("red", "orange", "yellow", "blue", GOOD)
ANYTHING: Final = 1e-9


class UnknownLimitError(Exception):
    """There is no such alert, or it compares with nothing."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Where an alert begins.

    Attributes:
        value: The number that its expression compares with.
        above: Whether more is bad; else less is.
        color: That of its severity.
    """

    value: float
    above: bool
    color: str


@cache
def rules() -> tuple[dict[str, Any], ...]:
    """Return every rule of Prometheus."""
    return tuple(
        rule
        for file in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    )


def alerts(name: str, severity: str | None = None) -> list[dict[str, Any]]:
    """Return the rules of an alert; it may have one for each severity.

    Raises:
        UnknownLimitError: There is none; a rule that was renamed is renamed here too.
    """
    found = [rule for rule in rules() if rule.get("alert") == name]
    found = [rule for rule in found if severity in {None, rule["labels"]["severity"]}]
    if not found:
        raise UnknownLimitError(f"no rule in {RULES.name}/ is called {name}")
    return found


def limits(name: str, number: int = 0, *, severity: str | None = None, scale: float = 1) -> list[Limit]:
    """Return the limits of an alert, one for each of its rules.

    Args:
        name: The alert.
        number: Which of the comparisons in its expressions, from 0.
        severity: Only the rules of this severity.
        scale: What to multiply them with where the panel shows another unit than the rule.

    Raises:
        UnknownLimitError: There is no such alert, or it has no such comparison.
    """
    made = []
    for rule in alerts(name, severity):
        found = list(_comparisons(rule["expr"]))
        if number >= len(found):
            raise UnknownLimitError(f"{name} has {len(found)} comparisons with a number, none is number {number}")
        operator, value = found[number]
        made.append(Limit(round(value * scale, 9), operator in {">", ">="}, COLORS[rule["labels"]["severity"]]))
    return made


def _comparisons(expression: str) -> Iterator[tuple[str, float]]:
    for operator, text in _COMPARISON.findall(re.sub(r"#.*", "", expression)):
        number = _ARITHMETIC.match(text)
        if number:
            yield operator, _product(number[0].strip(" -+*/"))


def _product(text: str) -> float:
    """Return the value of `5 * 60` and of plain numbers."""
    value = 1.0
    for factor in text.split("*"):
        numerator, *denominators = (float(part) for part in factor.split("/"))
        value *= numerator
        for denominator in denominators:
            value /= denominator
    return value


def thresholds(given: Iterable[Limit]) -> ThresholdsConfig:
    """Return limits as Grafana colors them, good on the one side and bad on the other.

    Raises:
        ValueError: Some are upper limits and some are lower ones.
    """
    by_value: dict[float, Limit] = {}
    for each in given:  # of two at the same value the graver one counts
        before = by_value.get(each.value)
        if before is None or GRAVITY.index(each.color) < GRAVITY.index(before.color):
            by_value[each.value] = each
    if len({each.above for each in by_value.values()}) > 1:
        raise ValueError("a panel colors above or below its limits, not both")
    ordered = sorted(by_value.values(), key=lambda each: each.value)
    if not ordered or ordered[0].above:
        # Grafana colors from a step on; a rule that says "more than nothing" begins just above.
        steps = [Threshold(None, GOOD), *(Threshold(each.value or ANYTHING, each.color) for each in ordered)]
    else:
        colors = [*(each.color for each in ordered), GOOD]
        values = [None, *(each.value for each in ordered)]
        steps = [Threshold(value, color) for value, color in zip(values, colors, strict=True)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def any_is(color: str) -> list[Limit]:
    """Return the limit of what should not be there at all: an alert, a target that is down."""
    return [Limit(1, above=True, color=color)]


def none_is_left(name: str) -> list[Limit]:
    """Return the limit of what an alert misses when there is none of it any more."""
    return [Limit(1, above=False, color=COLORS[rule["labels"]["severity"]]) for rule in alerts(name)]
