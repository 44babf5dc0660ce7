"""Finds the metrics and log fields that the stack's files name, and those that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from agent_service.telemetry.contract import METRICS, Field, MetricKind
from stack.engine import REPOSITORY

PIPELINE_FIELDS = frozenset(
    (
        "data_stream.type",
        "data_stream.dataset",
        "data_stream.namespace",
        "log.file.path",
        "rejected.line",
        "rejected.reason",
    )
)
"""What Logstash adds to a line, or makes of one that was refused."""
INTERNAL_FIELDS = frozenset(("tags", "@version", "event.original"))
"""What only exists inside Logstash; the pipelines remove it."""

_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_SELECTOR = re.compile(r"\{[^{}]*\}")
_RANGE = re.compile(r"\[[^\[\]]*\]")
_LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_NAME = re.compile(r"(?<![\w$.:])([A-Za-z_:][\w:]*)(?!\s*\(|[\w:])")
_WORDS = frozenset(
    (
        "and",
        "or",
        "unless",
        "bool",
        "offset",
        "group_left",
        "group_right",
        "start",
        "end",
        "inf",
        "nan",
        "Inf",
        "NaN",
        "atan2",
    )
)
"""Words of the language; those that take a list of labels are gone by then."""
_REFERENCE = re.compile(r"(?:\[@?[A-Za-z_][\w.]*\])+")
_QUERY_FIELD = re.compile(r'(?<![\w.@"])(@?[A-Za-z_][\w.]*)\s*:(?=\S|\s+\S)')


def metrics_in(expression: str) -> set[str]:
    """Return the names of the metrics in a PromQL expression."""
    for pattern in (_STRING, _SELECTOR, _RANGE, _LABEL_LIST):
        expression = pattern.sub(" ", expression)
    # A duration or a number in hexadecimal starts with a digit, so it is no name.
    return {name for name in _NAME.findall(expression) if name not in _WORDS}


def known_metrics(root: Path = REPOSITORY) -> set[str]:
    """Return every name that a rule or a dashboard may use."""
    exported = yaml.safe_load((root / "prometheus" / "known_metrics.yml").read_text(encoding="utf-8"))
    logstash = yaml.safe_load((root / "prometheus" / "logstash_exporter.yml").read_text(encoding="utf-8"))
    return {
        *(name for names in exported.values() for name in names),
        *(metric["name"] for metric in logstash["modules"]["logstash"]["metrics"]),
        *(name for metric in METRICS for name in _series(metric.name, metric.kind)),
        *(rule["record"] for _, rule in rules(root) if "record" in rule),
    }


def rules(root: Path = REPOSITORY) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each rule of Prometheus with its file."""
    for file in sorted((root / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield file, rule


def expressions(root: Path = REPOSITORY) -> Iterator[tuple[Path, str]]:
    """Yield every PromQL expression with its file: of rules, dashboards, and Grafana's data sources."""
    for file, rule in rules(root):
        yield file, rule["expr"]
    for file, document in _grafana_documents(root):
        for node in _nodes(document):
            if isinstance(node.get("expr"), str):
                yield file, node["expr"]
            elif isinstance(node.get("query"), str) and isinstance(node.get("name"), str) and "(" in node["query"]:
                yield file, node["query"].replace("$$__tags", "")


def unknown_metrics(root: Path = REPOSITORY) -> list[str]:
    """Return a line for each metric that is named somewhere and exists nowhere."""
    known = known_metrics(root)
    return [
        f"{file.relative_to(root)}: nothing exposes {name}"
        for file, expression in expressions(root)
        for name in sorted(metrics_in(expression) - known)
    ]


def known_fields() -> set[str]:
    """Return every field that a document of the agents' streams may have."""
    return {field.value for field in Field} | PIPELINE_FIELDS


def mapped_fields(mapping: dict[str, Any], prefix: str = "") -> set[str]:
    """Return the dotted names of the fields of a mapping's `properties`."""
    fields = set()
    for name, entry in mapping.items():
        inner = entry.get("properties")
        fields |= mapped_fields(inner, f"{prefix}{name}.") if inner else {prefix + name}
    return fields


def template_fields(root: Path = REPOSITORY, name: str = "agents-mappings") -> set[str]:
    """Return the fields that a component template maps."""
    file = root / "elasticsearch" / "setup" / "component_templates" / f"{name}.json"
    return mapped_fields(json.loads(file.read_text(encoding="utf-8"))["template"]["mappings"]["properties"])


def field_references(root: Path = REPOSITORY) -> Iterator[tuple[Path, str]]:
    """Yield every log field that is named outside of the index template, with its file."""
    for file in sorted((root / "logstash" / "pipeline").glob("*.conf")):
        yield from _with(file, pipeline_fields(file.read_text(encoding="utf-8")))
    for file in sorted((root / "kibana" / "saved_objects").glob("*.ndjson")):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield from _with(file, saved_object_fields(json.loads(line)["attributes"]))
    for file, document in _grafana_documents(root):
        for node in _nodes(document):
            yield from _with(file, grafana_fields(node))
    file = root / "jaeger" / "ui.json"
    for query in re.findall(r"query:'([^']*)'", file.read_text(encoding="utf-8")):
        yield from _with(file, query_fields(query))


def unknown_fields(root: Path = REPOSITORY) -> list[str]:
    """Return a line for each log field that is named somewhere and exists nowhere, or is mapped nowhere."""
    known = known_fields()
    named = [(file, field) for file, field in field_references(root)]
    lines = [f"{file.relative_to(root)}: there is no log field {field}" for file, field in named if field not in known]
    mapped = template_fields(root) | template_fields(root, "agents-rejected-mappings")
    lines += [f"the index templates do not map {field}" for field in sorted(known - mapped)]
    lines += [f"the index templates map {field}, which nothing writes" for field in sorted(mapped - known)]
    return lines


def pipeline_fields(text: str) -> set[str]:
    """Return the dotted names of the fields that a Logstash pipeline refers to."""
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    found = {".".join(re.findall(r"\[([^\]]+)\]", reference)) for reference in _REFERENCE.findall(text)}
    return {field for field in found if not field.startswith("@metadata") and field not in INTERNAL_FIELDS}


def query_fields(query: str) -> set[str]:
    """Return the fields that a query in KQL or Lucene's language names."""
    return set(_QUERY_FIELD.findall(re.sub(r'"[^"]*"|%22.*?%22', '"', query)))


def saved_object_fields(attributes: dict[str, Any]) -> set[str]:
    """Return the fields that a saved object of Kibana names: columns, sorting, time, queries."""
    fields = {*attributes.get("columns", ()), *(pair[0] for pair in attributes.get("sort", ()))}
    if attributes.get("timeFieldName"):
        fields.add(attributes["timeFieldName"])
    source = json.loads(attributes.get("kibanaSavedObjectMeta", {}).get("searchSourceJSON", "{}"))
    return fields | query_fields(source.get("query", {}).get("query", ""))


def grafana_fields(node: dict[str, Any]) -> set[str]:
    """Return the log fields that a part of a dashboard or of a data source names."""
    fields = {node[key] for key in ("timeField", "logMessageField", "logLevelField") if isinstance(node.get(key), str)}
    source = node.get("datasource")
    if isinstance(source, dict) and source.get("type") == "elasticsearch" and isinstance(node.get("query"), str):
        fields |= query_fields(node["query"])
        fields |= {part["field"] for part in node.get("bucketAggs", ()) if "field" in part}
    if node.get("customQuery"):
        fields |= query_fields(node["query"])
    return fields | {link["field"] for link in node.get("dataLinks", ()) if isinstance(link, dict) and "field" in link}


def _with(file: Path, fields: Iterable[str]) -> Iterator[tuple[Path, str]]:
    return ((file, field) for field in fields)


def _series(name: str, kind: MetricKind) -> Iterable[str]:
    return [f"{name}_{part}" for part in ("bucket", "count", "sum")] if kind is MetricKind.HISTOGRAM else [name]


def _grafana_documents(root: Path) -> Iterator[tuple[Path, Any]]:
    for file in sorted((root / "grafana" / "dashboards").glob("**/*.json")):
        yield file, json.loads(file.read_text(encoding="utf-8"))
    for file in sorted((root / "grafana" / "provisioning").glob("**/*.yml")):
        yield file, yaml.safe_load(file.read_text(encoding="utf-8"))


def _nodes(document: Any) -> Iterator[dict[str, Any]]:
    """Yield every object inside a document."""
    if isinstance(document, dict):
        yield document
        document = list(document.values())
    if isinstance(document, list):
        for item in document:
            yield from _nodes(item)
