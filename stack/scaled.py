"""Makes the files of the stack anew with other times, so that what takes minutes can be tried out in seconds.

Every time is multiplied by one factor: how often is scraped and judged, `for` and the windows of the rules, limits that
are durations themselves, Alertmanager's waits, the escalation policy, and how often and over what log patterns are
looked for. Counts and ratios stay, and so do names that carry a window and the words of annotations. The files are
changed line by line and keep their comments, so a factor of 1 gives the same files again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from stack.engine import REPOSITORY

LEAST_SCRAPE_MS: Final = 1_000
"""Nothing is scraped or judged more often: answers take their time on a machine of any size."""
LEAST_SAMPLES: Final = 4
"""A window spans so many scrapes at least: `rate` needs two samples, and one or two may be late or missing."""
SMALLEST: Final = 0.01

LIMITS: Final[Mapping[str, tuple[str, ...]]] = {
    "AgentTaskRunningLong": ("> 5 * 60",),
    "AgentSlow": ("> 60",),
    "QueueOldestTaskWaiting": ("> 30 * 60", "> 5 * 60"),
    "QueueDrainSlow": ("> 15 * 60",),
    "HostDiskFilling": ("24 * 3600",),
}
"""Alerts whose limit is a duration that a fault brings about, and the text of that limit in their expressions."""
KEPT_LIMITS: Final[Mapping[str, str]] = {
    "ApiLatencyHigh": "an API does not answer faster because it is watched faster",
    "IncidentUnacknowledged": "its limits are those of the escalation policy, which is scaled",
    "TaskStartBudgetBurn": "its 30 s are a bound of a histogram's buckets",
}
"""Alerts that look at durations and keep their limit, and why."""

_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION: Final = r"(?:\d+(?:ms|[smhdw]))+"
_ALERT: Final = re.compile(r"\s*- alert: (\w+)")
_WINDOW: Final = re.compile(rf"(\[|\boffset )({_DURATION})(?=[\]:\s)]|$)|(?<=:)({_DURATION})(?=\])")
_RULE_TIME: Final = re.compile(rf"^(\s*)(for|keep_firing_for|interval): ({_DURATION})$")
_SCRAPE_TIME: Final = re.compile(rf"\b(scrape_interval|evaluation_interval|refresh_interval): ({_DURATION})")
_SCRAPE_INTERVAL: Final = re.compile(rf"\bscrape_interval: ({_DURATION})")
_SCRAPE_TIMEOUT: Final = re.compile(rf"\bscrape_timeout: ({_DURATION})")
_NOTICE_TIME: Final = re.compile(rf"\b(resolve_timeout|group_wait|group_interval|repeat_interval): ({_DURATION})")
_POLICY_TIME: Final = re.compile(r"\bafter_minutes = (\d+(?:\.\d+)?)")
_QUIET: Final = re.compile(r"^\s*mute_time_intervals: \[quiet-hours\]\n", re.MULTILINE)
_COMPOSE: Final = """\
# Written by `python -m stack scaled-rules`: the stack with times multiplied by {factor:g}.
#   docker compose --file docker-compose.yml --file {folder}/docker-compose.yml --env-file .env up --detach --wait
services:
  prometheus:
    volumes:
      - {folder}/prometheus/prometheus.yml:/etc/prometheus/prometheus.yml:ro
      - {folder}/prometheus/rules:/etc/prometheus/rules:ro
  alertmanager:
    volumes: ["{folder}/alertmanager/alertmanager.yml:/etc/alertmanager/alertmanager.yml:ro"]
  log-alerts:
    volumes:
      - {folder}/log_alerts/elastalert.yml:/opt/elastalert/config.yaml:ro
      - {folder}/log_alerts/rules:/opt/elastalert/rules:ro
  api:
    environment: {{ESCALATION_POLICY: /etc/agents/escalation.toml}}
    volumes: ["{folder}/escalation.toml:/etc/agents/escalation.toml:ro"]
"""


class ScaleError(Exception):
    """The files cannot be made; the message is one line that says why."""


def milliseconds(duration: str) -> int:
    """Return the milliseconds of a duration such as `1h30m` or `500ms`."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdw])", duration))


def duration_text(number: float) -> str:
    """Return a duration of so many milliseconds, as Prometheus and Alertmanager write them."""
    left, text = round(number), ""
    for unit in ("h", "m", "s", "ms"):
        count, left = divmod(left, _UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return text or "0s"


@dataclass(frozen=True, slots=True)
class Scale:
    """By what times are multiplied.

    Attributes:
        factor: 0.01 to 1.
        scrape_ms: From one scrape to the next as it stands in prometheus.yml, in milliseconds.
        quiet_hours: Whether nights and weekends stay quiet.
    """

    factor: float
    scrape_ms: int
    quiet_hours: bool = True

    @property
    def window_ms(self) -> float:
        """The smallest window that makes sense."""
        return LEAST_SAMPLES * max(self.scrape_ms * self.factor, LEAST_SCRAPE_MS)

    def times(self, duration: str, least: float = 1) -> str:
        """Return a duration multiplied by the factor, but not below `least` milliseconds, nor lengthened by that."""
        if self.factor == 1:
            return duration
        whole = milliseconds(duration)
        return duration_text(min(whole, max(whole * self.factor, least)))

    def prometheus(self, text: str) -> str:
        """Return prometheus.yml with other times; an answer may take as long as before, up to the next scrape."""
        scrape = ""

        def shorter(line: str) -> str:
            nonlocal scrape
            line = _SCRAPE_TIME.sub(lambda m: f"{m[1]}: {self.times(m[2], LEAST_SCRAPE_MS)}", line)
            found = _SCRAPE_INTERVAL.search(line)
            scrape = found[1] if found else scrape
            return _SCRAPE_TIMEOUT.sub(lambda m: f"scrape_timeout: {min(m[1], scrape, key=milliseconds)}", line)

        return _by_line(text, shorter)

    def rules(self, text: str) -> str:
        """Return a file of rules with other times.

        Raises:
            ScaleError: An alert of `LIMITS` has another limit than it says there.
        """
        alert, missing = "", {name: set(limits) for name, limits in LIMITS.items()}

        def shorter(line: str) -> str:
            nonlocal alert
            found = _ALERT.match(line)
            alert = found[1] if found else alert
            line = _RULE_TIME.sub(lambda m: f"{m[1]}{m[2]}: {self._rule_time(m[2], m[3])}", line)
            line = _WINDOW.sub(lambda m: (m[1] or "") + self.times(m[2] or m[3], self.window_ms), line)
            for limit in sorted(missing.get(alert, ())):
                if limit in line:
                    missing[alert].discard(limit)
                    line = line.replace(limit, self._limit(limit), 1)
            return line

        scaled = _by_line(text, shorter)
        for name, limits in missing.items():
            if limits and re.search(rf"- alert: {name}$", text, re.MULTILINE):
                raise ScaleError(
                    f"the alert {name} has no limit {' or '.join(sorted(limits))}: bring stack/scaled.py up to date"
                )
        return scaled

    def alertmanager(self, text: str) -> str:
        """Return alertmanager.yml with other times, and without quiet hours if so wished."""
        if not self.quiet_hours:
            text = _QUIET.sub("", text)
        return _by_line(text, lambda line: _NOTICE_TIME.sub(lambda m: f"{m[1]}: {self.times(m[2])}", line))

    def policy(self, text: str) -> str:
        """Return an escalation policy with other minutes."""
        if self.factor == 1:
            return text
        return _by_line(
            text, lambda line: _POLICY_TIME.sub(lambda m: f"after_minutes = {float(m[1]) * self.factor:.10g}", line)
        )

    def log_alerts(self, text: str) -> str:
        """Return a file of elastalert2 with other times; how late a line may come stays as it is."""
        if self.factor == 1:
            return text
        document: dict[str, Any] = yaml.safe_load(text)
        for name in ("run_every", "timeframe", "realert"):
            if name in document:
                document[name] = {"seconds": max(1, round(_seconds(document[name]) * self.factor))}
        return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))

    def _rule_time(self, name: str, duration: str) -> str:
        return self.times(duration, LEAST_SCRAPE_MS if name == "interval" else 1)

    def _limit(self, limit: str) -> str:
        if self.factor == 1:
            return limit
        before, number = re.fullmatch(r"(\D*)(.*)", limit).groups()  # type: ignore[union-attr]
        return f"{before}{self.factor:g} * {number}"


def write_scaled(out: Path, factor: float, *, quiet_hours: bool = True, root: Path = REPOSITORY) -> list[Path]:
    """Write the files with other times, and an overlay for docker-compose.yml that puts them into their places.

    Args:
        out: The folder to write to.
        factor: By what times are multiplied; 0.01 to 1.
        quiet_hours: Whether warnings wait for the morning, as they do in alertmanager.yml.
        root: The repository.

    Returns:
        The files that were written.

    Raises:
        ScaleError: The factor is out of range, or the files are not as expected.
    """
    if not SMALLEST <= factor <= 1:
        raise ScaleError(f"the factor is between {SMALLEST:g} and 1, not {factor:g}")
    main = "prometheus/prometheus.yml"
    scrape = yaml.safe_load((root / main).read_text(encoding="utf-8"))["global"]["scrape_interval"]
    scale = Scale(factor, milliseconds(scrape), quiet_hours)
    plans: list[tuple[str, str, Callable[[str], str]]] = [
        (main, main, scale.prometheus),
        *((name, name, scale.rules) for name in _names(root, "prometheus/rules")),
        ("alertmanager/alertmanager.yml", "alertmanager/alertmanager.yml", scale.alertmanager),
        ("log_alerts/elastalert.yml", "log_alerts/elastalert.yml", scale.log_alerts),
        *((name, name, scale.log_alerts) for name in _names(root, "log_alerts/rules")),
        ("agent_service/incidents/escalation.toml", "escalation.toml", scale.policy),
    ]
    written = [
        _write(out / target, change((root / name).read_text(encoding="utf-8"))) for name, target, change in plans
    ]
    overlay = _COMPOSE.format(factor=factor, folder=out.absolute())
    return [*written, _write(out / "docker-compose.yml", overlay)]


def _write(file: Path, text: str) -> Path:
    """Write a file that the containers' users can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o644)
    return file


def _names(root: Path, folder: str) -> list[str]:
    return [str(file.relative_to(root)) for file in sorted((root / folder).glob("*.yml"))]


def _by_line(text: str, change: Callable[[str], str]) -> str:
    """Change each line that is no comment."""
    lines = (line if line.lstrip().startswith("#") else change(line) for line in text.split("\n"))
    return "\n".join(lines)


def _seconds(duration: Mapping[str, float]) -> float:
    """Return the seconds of a duration as elastalert2 writes it, such as `{minutes: 2}`."""
    units = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
    return sum(number * units[unit] for unit, number in duration.items())
