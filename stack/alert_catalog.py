"""Everything that belongs to the alerts, read from the repository."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from log_alerts.patterns import Pattern, load
from stack.engine import REPOSITORY

RULES = REPOSITORY / "prometheus" / "rules"
RULE_TESTS = REPOSITORY / "prometheus" / "tests"
RUNBOOKS = REPOSITORY / "docs" / "runbooks"
DASHBOARDS = REPOSITORY / "grafana" / "dashboards"
ALERTMANAGER = REPOSITORY / "alertmanager"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule."""

    file: Path
    rule: dict[str, Any]

    @property
    def name(self) -> str:
        """Return its name; several rules may share one."""
        return str(self.rule["alert"])

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels that the rule sets."""
        return dict(self.rule.get("labels", {}))

    @property
    def annotations(self) -> dict[str, str]:
        """Return its texts and links, by name."""
        return dict(self.rule.get("annotations", {}))

    def __str__(self) -> str:
        parts = (self.name, self.labels.get("severity", ""), self.labels.get("window", ""))
        return "-".join(part for part in parts if part and "{" not in part)


def alerts(folder: Path = RULES) -> list[Alert]:
    """Return every alerting rule of a folder."""
    found = []
    for file in sorted(folder.glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            found += [Alert(file, rule) for rule in group["rules"] if "alert" in rule]
    return found


def patterns() -> list[Pattern]:
    """Return the log patterns."""
    return load(REPOSITORY / "log_alerts" / "patterns.toml")


def names(folder: Path = RULES) -> list[str]:
    """Return the names of all alerts, those of log patterns among them."""
    return sorted({alert.name for alert in alerts(folder)} | {pattern.name for pattern in patterns()})


def rule_checks(folder: Path = RULE_TESTS) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each alert that a promtool test looks at, with what is expected at one moment."""
    for file in sorted(folder.glob("*.yml")):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for check in test.get("alert_rule_test", ()):
                yield test["name"], check


def seconds(duration: str) -> int:
    """Return the seconds of a duration such as `1h15m`."""
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([dhms])", duration))


def code_blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language in a Markdown page."""
    return [str(block) for block in re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)]
