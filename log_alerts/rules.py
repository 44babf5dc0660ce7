"""Turns patterns into rules of elastalert2."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from log_alerts.patterns import Pattern

ALERTMANAGER = "http://alertmanager:9093"
SERVICE = "http://localhost:8000"
GRAFANA = "http://localhost:3000"
KIBANA = "http://localhost:5601"
JAEGER = "http://localhost:16686"

REPEAT = timedelta(seconds=30)
"""How often, at most, elastalert2 tells Alertmanager of the same pattern while lines keep coming."""
HEADER = "# Written by `python -m log_alerts` from log_alerts/patterns.toml: change that file and run it again.\n"

_AGENT = "{{ ((gen_ai | default({})).agent | default({})).name | default('') }}"
"""Jinja: the agent that wrote the line; empty, and with that no label, where there is none."""
_TRACE = "{% if trace_id is defined %}" + JAEGER + "/trace/{{ trace_id }}{% endif %}"


def to_rule(pattern: Pattern) -> dict[str, Any]:
    """Return the rule that looks for a pattern.

    Source: https://elastalert2.readthedocs.io/en/latest/alerts.html#alertmanager
    """
    return {
        "name": pattern.name,
        "type": "frequency",
        "index": pattern.index,
        "timestamp_field": "@timestamp",
        "num_events": pattern.threshold,
        "timeframe": _seconds(pattern.window),
        "filter": [{"query": {"query_string": {"query": pattern.query}}}],
        "realert": _seconds(REPEAT),
        "alert": ["alertmanager"],
        "alertmanager_hosts": [ALERTMANAGER],
        # v1, the default, is gone from Alertmanager. The alert is given no end, which Alertmanager would take for its
        # start as well; Alertmanager's own resolve_timeout, 5 minutes after the last line, ends it.
        "alertmanager_api_version": "v2",
        "alertmanager_alertname": pattern.name,
        "alertmanager_labels": {"severity": pattern.severity, "team": pattern.team, "agent": _AGENT},
        "alertmanager_annotations": {
            "runbook_url": f"{SERVICE}/runbooks/{pattern.name}",
            "dashboard_url": f"{GRAFANA}/d/{pattern.dashboard}",
            "logs_url": _kibana(pattern),
            "trace_url": _TRACE,
        },
        # They become the annotations `summary` and `description`.
        "alert_subject": pattern.summary,
        "alert_text_type": "alert_text_only",
        "alert_text": f"{_count(pattern)} within {_words(pattern.window)}. The last one, of {{0}}: {{1}}",
        "alert_text_args": ["@timestamp", "message"],
        "alert_missing_value": "(a line without message)",
    }


def render(pattern: Pattern) -> str:
    """Return the text of the pattern's rule file."""
    text: str = yaml.safe_dump(to_rule(pattern), sort_keys=False, width=120, allow_unicode=True)
    return HEADER + text


def outdated(patterns: Iterable[Pattern], folder: Path) -> list[str]:
    """Return the names of the rule files in a folder that are missing, differ, or belong to no pattern."""
    texts = {f"{pattern.name}.yml": render(pattern) for pattern in patterns}
    there = {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.yml")}
    return sorted(name for name in texts.keys() | there.keys() if texts.get(name) != there.get(name))


def write(patterns: Iterable[Pattern], folder: Path) -> list[str]:
    """Bring a folder's rule files up to date, and return the names of those that were written or removed."""
    texts = {f"{pattern.name}.yml": pattern for pattern in patterns}
    changed = outdated(texts.values(), folder) if folder.is_dir() else sorted(texts)
    folder.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if name in texts:
            (folder / name).write_text(render(texts[name]), encoding="utf-8")
        else:
            (folder / name).unlink()
    return changed


def _seconds(duration: timedelta) -> dict[str, int]:
    return {"seconds": round(duration.total_seconds())}


def _count(pattern: Pattern) -> str:
    return "A line matched" if pattern.threshold == 1 else f"{pattern.threshold} lines or more matched"


def _words(duration: timedelta) -> str:
    seconds = round(duration.total_seconds())
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _kibana(pattern: Pattern) -> str:
    """Return where Kibana shows the lines of a pattern."""
    # An apostrophe ends a text in Kibana's notation unless `!` stands before it, as before `!` itself.
    escaped = quote(pattern.query.replace("!", "!!").replace("'", "!'"), safe=":")
    view = "agents-rejected" if "rejected" in pattern.index else "agents-all"
    state = f"_g=(time:(from:now-1h,to:now))&_a=(query:(language:lucene,query:'{escaped}'))"
    return f"{KIBANA}/app/discover#/view/{view}?{state}"
