"""Kibana's saved objects are what their source writes, and whatever they name exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from kibana.source.__main__ import FILE, text
from kibana.source.agents import SLOW
from stack.names import query_fields, template_fields
from tests.dashboards.kql import lucene
from tests.unit.dashboards.files import JAEGER_UI, SAVED_OBJECTS, nodes, texts

BY_KEY = {(each["type"], each["id"]): each for each in SAVED_OBJECTS}
FIELDS = template_fields() | template_fields(name="agents-rejected-mappings")
PACKED = re.compile(r".*JSON$|fieldFormatMap|fieldAttrs|fields|sourceFilters|runtimeFieldMap|typeMeta")
EXPORTED = {
    "index-pattern": {"8.0.0"},
    "search": {"10.5.0"},
    "dashboard": {"8.9.0", "10.3.0"},
}
"""The format versions that exports of Kibana 8.10 to 9 carry."""
KINDS = {"lnsXY", "lnsMetric", "lnsDatatable"}
WIDTH = 48

each_object = pytest.mark.parametrize("each", SAVED_OBJECTS, ids=lambda each: f"{each['type']}-{each['id']}")
each_dashboard = pytest.mark.parametrize(
    "each", [each for each in SAVED_OBJECTS if each["type"] == "dashboard"], ids=lambda each: each["id"]
)


def unpacked(value: Any) -> Any:
    """Return a value with the JSON inside of it read."""
    if isinstance(value, dict):
        return {
            key: unpacked(json.loads(inner) if PACKED.fullmatch(key) and isinstance(inner, str) else inner)
            for key, inner in value.items()
        }
    return [unpacked(item) for item in value] if isinstance(value, list) else value


def test_the_file_is_what_its_source_writes():
    assert FILE.read_text(encoding="utf-8") == text(), "run `make dashboards`"


def test_no_two_objects_have_one_id():
    assert len(BY_KEY) == len(SAVED_OBJECTS)


@each_object
def test_it_has_the_form_of_an_export(each: dict[str, Any]):
    assert set(each) == {
        "id", "type", "attributes", "references", "coreMigrationVersion", "typeMigrationVersion", "managed",
    }  # fmt: skip
    assert each["coreMigrationVersion"] == "8.8.0"
    assert each["typeMigrationVersion"] in EXPORTED[each["type"]]
    unpacked(each["attributes"])  # every JSON inside of it can be read


@each_object
def test_what_it_refers_to_exists(each: dict[str, Any]):
    assert [ref for ref in each["references"] if (ref["type"], ref["id"]) not in BY_KEY] == []


@each_object
def test_its_references_are_those_that_it_names(each: dict[str, Any]):
    listed = {ref["name"] for ref in each["references"]}
    assert len(listed) == len(each["references"])

    assert listed == set(_names(each))


@each_object
def test_every_field_is_in_the_index_template(each: dict[str, Any]):
    assert set(_fields(unpacked(each["attributes"]))) <= FIELDS


@each_dashboard
def test_no_panel_lies_over_another(each: dict[str, Any]):
    taken: dict[tuple[int, int], str] = {}
    for panel in unpacked(each["attributes"])["panelsJSON"]:
        place = panel["gridData"]
        assert place["i"] == panel["panelIndex"]
        assert place["x"] + place["w"] <= WIDTH
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies over {taken[x, y]}"
                taken[x, y] = panel["title"]


@each_dashboard
def test_every_chart_draws_the_columns_that_it_has(each: dict[str, Any]):
    for panel in unpacked(each["attributes"])["panelsJSON"]:
        if panel["type"] != "lens":
            continue
        chart = panel["embeddableConfig"]["attributes"]
        layers = chart["state"]["datasourceStates"]["formBased"]["layers"]
        drawn = chart["state"]["visualization"]
        assert chart["visualizationType"] in KINDS
        assert {node["layerId"] for node in nodes(drawn) if "layerId" in node} == set(layers)
        for layer in layers.values():
            assert layer["columnOrder"] == list(layer["columns"])
            for column in layer["columns"].values():
                order = column["params"].get("orderBy", {}).get("columnId")
                assert order is None or order in layer["columns"]
        columns = {column for layer in layers.values() for column in layer["columns"]}
        assert set(_drawn_columns(drawn)) == columns


def test_links_lead_from_a_line_to_its_trace_its_task_and_its_agent():
    formats = unpacked(BY_KEY["index-pattern", "logs-agents"]["attributes"])["fieldFormatMap"]

    urls = {name: each["params"]["urlTemplate"] for name, each in formats.items()}

    assert "/trace/{{rawValue}}" in urls["trace_id"]
    assert "/tasks/{{rawValue}}" in urls["task.id"]
    assert "var-agent={{rawValue}}" in urls["gen_ai.agent.name"]


@pytest.mark.parametrize(
    ("seconds", "slow"),
    [("9.999999", False), ("0.5", False), ("1e-06", False), ("10.0", True), ("12", True), ("99.9", True),
     ("100.25", True), ("3600.0", True)],
)  # fmt: skip
def test_slow_runs_are_told_by_the_order_of_letters(seconds: str, slow: bool):
    ranges = [next(iter(each["range"].values())) for each in SLOW.query["bool"]["should"]]

    assert any(each["gte"] <= seconds < each["lt"] for each in ranges) is slow


def test_links_of_jaegers_pages_name_tags_and_searches_that_exist():
    from agent_service.telemetry.contract import Attribute

    tags = {attribute.value for attribute in Attribute}
    own = {"traceID", "startTime", "endTime"}
    searches = {each["id"] for each in SAVED_OBJECTS if each["type"] == "search"}
    for pattern in JAEGER_UI["linkPatterns"]:
        assert pattern["type"] in {"tags", "traces"}
        named = set(re.findall(r"#\{([\w.]+)", pattern["url"] + pattern["text"]))
        assert named <= own | ({pattern["key"]} if pattern["type"] == "tags" else set())
        assert pattern.get("key") in tags | {None}
    assert {view for url in texts(JAEGER_UI) for view in re.findall(r"#/view/([\w-]+)", url)} <= searches
    assert JAEGER_UI["monitor"]["menuEnabled"]
    assert JAEGER_UI["dependencies"]["menuEnabled"]


@pytest.mark.parametrize(
    ("kql", "query"),
    [
        ("", "*"),
        ("log.level : (error or critical)", "log.level:(error OR critical)"),
        ("task.id : *", "task.id:*"),
        ('message : "this or that"', 'message:"this or that"'),
        ('a : "b" and not c : d', 'a:"b" AND NOT c:d'),
    ],
)
def test_kibanas_language_is_run_as_elasticsearchs(kql: str, query: str):
    assert lucene(kql) == query


def _names(each: dict[str, Any]) -> Iterator[str]:
    """Yield the references that an object's attributes need."""
    attributes = unpacked(each["attributes"])
    yield from _reference_names(attributes.get("kibanaSavedObjectMeta", {}))
    for panel in attributes.get("panelsJSON", ()):
        if "panelRefName" in panel:
            yield f"{panel['panelIndex']}:{panel['panelRefName']}"
        for ref in panel["embeddableConfig"].get("attributes", {}).get("references", ()):
            yield f"{panel['panelIndex']}:{ref['name']}"


def _reference_names(value: Any) -> Iterator[str]:
    for node in nodes(value):
        if "indexRefName" in node:
            yield node["indexRefName"]


def _fields(attributes: dict[str, Any]) -> Iterator[str]:
    """Yield every field that an object's attributes name."""
    yield from attributes.get("columns", ())
    yield from (name for name, _ in attributes.get("sort", ()))
    yield from attributes.get("fieldFormatMap", {})
    if "timeFieldName" in attributes:
        yield attributes["timeFieldName"]
    for node in nodes(attributes):
        if node.get("sourceField") not in {None, "___records___"}:
            yield node["sourceField"]
        if node.get("language") == "kuery":
            yield from query_fields(node["query"])
        if isinstance(node.get("range"), dict):
            # A flattened field has its keys below it, and no mapping of them.
            yield from (re.sub(r"^labels\..*", "labels", name) for name in node["range"])


def _drawn_columns(drawn: dict[str, Any]) -> Iterator[str]:
    for node in nodes(drawn):
        yield from (node[key] for key in ("xAccessor", "splitAccessor", "metricAccessor", "columnId") if key in node)
        yield from node.get("accessors", ())
