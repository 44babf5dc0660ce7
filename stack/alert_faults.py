"""What can be wrong with an alert, found in a repository that is given, so that mistakes can be made in a copy."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from stack.alert_catalog import Alert, alerts, code_blocks, patterns, rule_checks, seconds
from stack.names import known_metrics, metrics_in

SEVERITIES = {"critical", "warning", "info"}
TEAMS = {"agents", "platform"}
WITHOUT_END = {"Watchdog"}
"""Alerts that are to fire always."""
ALERT_PREFIXES = (
    "Agent|Queue|Worker|Api|Task|Host|Valkey|Elasticsearch|Logstash|Jaeger|Prometheus|Alertmanager|Incident|Log"
)
"""With what the names of alerts begin; a word like that in a runbook is one."""
ERROR_TYPES = {"WorkerChildDied", "WorkerDied", "TaskTimeoutError"}
SECTIONS = ("Impact", "First look", "Likely causes", "Fix", "Afterwards")


def rule_faults(root: Path) -> Iterator[str]:
    """Yield what an alert lacks of labels and annotations, and what it names that is not there."""
    known = known_metrics(root)
    for alert in alerts(root / "prometheus" / "rules"):
        for fault in (*_label_faults(alert), *_annotation_faults(alert, root), *_metric_faults(alert, known)):
            yield f"{alert}: {fault}"


def _label_faults(alert: Alert) -> Iterator[str]:
    severity, team = alert.labels.get("severity", ""), alert.labels.get("team", "")
    allowed = {"none"} if alert.name in WITHOUT_END else SEVERITIES
    if severity not in allowed and severity != "{{ $labels.severity }}":
        yield f"its severity is {severity!r}"
    if team not in TEAMS and team != "{{ $labels.team }}":
        yield f"its team is {team!r}"


def _annotation_faults(alert: Alert, root: Path) -> Iterator[str]:
    for name in ("summary", "description"):
        if not alert.annotations.get(name, "").strip():
            yield f"it has no {name}"
    if alert.annotations.get("runbook_url") != f"http://localhost:8000/runbooks/{alert.name}":
        yield "its runbook_url does not lead to its runbook"
    dashboard = re.match(r"http://localhost:3000/d/([a-z-]+)", alert.annotations.get("dashboard_url", ""))
    if dashboard is None or not (root / "grafana" / "dashboards" / f"{dashboard[1]}.json").exists():
        yield "its dashboard_url leads to no dashboard"


def _metric_faults(alert: Alert, known: set[str]) -> Iterator[str]:
    for name in sorted(metrics_in(alert.rule["expr"]) - known):
        yield f"nothing exposes {name}"


def comment_faults(root: Path) -> Iterator[str]:
    """Yield the alerts above which no comment says why they are as they are."""
    for file in sorted((root / "prometheus" / "rules").glob("*.yml")):
        seen, before = set(), ""
        for line in file.read_text().splitlines():
            if found := re.match(r" *- alert: (\w+)", line):
                # The further severities and windows of an alert stand below its first and share its comment.
                if found[1] not in seen and not before.lstrip().startswith("#") and not _explained(file, found[1]):
                    yield f"{found[1]}: no comment says why its limit is what it is"
                seen.add(found[1])
            before = line


def _explained(file: Path, name: str) -> bool:
    """Return whether the comment is above the alert's group."""
    text = file.read_text()
    group = text[: text.index(f"- alert: {name}")].rpartition("- name: ")[0]
    return name.endswith("BudgetBurn") and group.rstrip().splitlines()[-1].lstrip().startswith("#")


def untested(root: Path) -> Iterator[str]:
    """Yield each alert and severity of which no promtool test shows that it fires, when not, and that it ends."""
    moments: defaultdict[str, list[tuple[str, int, list[dict[str, str]]]]] = defaultdict(list)
    for test, check in rule_checks(root / "prometheus" / "tests"):
        expected = [alert["exp_labels"] for alert in check.get("exp_alerts") or ()]
        moments[check["alertname"]].append((test, seconds(check["eval_time"]), expected))
    for alert in alerts(root / "prometheus" / "rules"):
        static = {name: value for name, value in alert.labels.items() if "{{" not in value}
        shown = [
            (test, moment, any(static.items() <= labels.items() for labels in expected))
            for test, moment, expected in moments[alert.name]
        ]
        firing = [(test, moment) for test, moment, fires in shown if fires]
        silent = [(test, moment) for test, moment, fires in shown if not fires]
        if not firing:
            yield f"{alert}: no test shows that it fires"
        elif alert.name not in WITHOUT_END:
            if not any(test == other and moment < later for test, moment in silent for other, later in firing):
                yield f"{alert}: no test shows that it is silent before"
            if not any(test == other and moment > earlier for test, moment in silent for other, earlier in firing):
                yield f"{alert}: no test shows that it ends"


def runbook_faults(root: Path) -> Iterator[str]:
    """Yield what is wrong with the runbooks: one is missing, is of no alert, or names what there is not."""
    wanted = {alert.name for alert in alerts(root / "prometheus" / "rules")} | {pattern.name for pattern in patterns()}
    pages = {file.stem: file.read_text() for file in (root / "docs" / "runbooks").glob("*.md") if file.stem != "README"}
    yield from (f"{name}: it has no runbook" for name in sorted(wanted - pages.keys()))
    yield from (f"{name}.md: there is no such alert" for name in sorted(pages.keys() - wanted))
    known = known_metrics(root)
    for name, text in sorted(pages.items()):
        yield from (f"{name}.md: {fault}" for fault in _page_faults(name, text, wanted, known))


def _page_faults(name: str, text: str, alert_names: set[str], known: set[str]) -> Iterator[str]:
    if not text.startswith(f"# {name}\n"):
        yield "its title is not the alert's name"
    yield from (f"it has no section {section}" for section in SECTIONS if f"\n## {section}\n" not in text)
    if not re.search(r"```(promql|kql|console)\n", text):
        yield "it has nothing to look at first"
    for query in code_blocks(text, "promql"):
        yield from (f"nothing exposes {metric}" for metric in sorted(metrics_in(query) - known))
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    words = set(re.findall(rf"\b(?:{ALERT_PREFIXES})[A-Z]\w+", prose))
    yield from (f"there is no alert {word}" for word in sorted(words - alert_names - ERROR_TYPES))
