"""The files that the tests of this folder read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
SOURCES = yaml.safe_load((ROOT / "grafana/provisioning/datasources/agents.yml").read_text())["datasources"]
RULES = [
    rule
    for file in sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
SAVED_OBJECTS = [
    json.loads(line)
    for file in sorted((ROOT / "kibana" / "saved_objects").glob("*.ndjson"))
    for line in file.read_text().splitlines()
]
JAEGER_UI = json.loads((ROOT / "jaeger" / "ui.json").read_text())
_DASHBOARD_LINK = re.compile(r"/d/([\w-]+)")


def read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))


def nodes(document: Any) -> Iterator[dict[str, Any]]:
    """Yield every object inside a document."""
    if isinstance(document, dict):
        yield document
        document = list(document.values())
    if isinstance(document, list):
        for item in document:
            yield from nodes(item)


def texts(document: Any) -> Iterator[str]:
    """Yield every text inside a document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for value in document.values():
            yield from texts(value)
    elif isinstance(document, list):
        for item in document:
            yield from texts(item)


def linked_dashboards(document: Any) -> set[str]:
    """Return the uids of the dashboards that a document links to."""
    return {uid for text in texts(document) for uid in _DASHBOARD_LINK.findall(text)}
