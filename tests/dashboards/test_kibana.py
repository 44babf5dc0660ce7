"""What Kibana's searches and charts ask is answered by Elasticsearch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.dashboards.harness import Harness
from tests.dashboards.kql import lucene
from tests.stack.project import REPOSITORY

OBJECTS = [
    json.loads(line)
    for file in sorted((REPOSITORY / "kibana" / "saved_objects").glob("*.ndjson"))
    for line in file.read_text(encoding="utf-8").splitlines()
]
VIEWS = {each["id"]: each["attributes"]["title"] for each in OBJECTS if each["type"] == "index-pattern"}
SEARCHES = [each for each in OBJECTS if each["type"] == "search"]
CHARTS = [
    panel
    for each in OBJECTS
    if each["type"] == "dashboard"
    for panel in json.loads(each["attributes"]["panelsJSON"])
    if panel["type"] == "lens"
]
EMPTY = {"agents-rejected": "nothing was rejected", "rejected": "nothing was rejected"}


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search["id"])
def test_a_search_finds_lines(harness: Harness, search: dict[str, Any]) -> None:
    source = json.loads(search["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
    conditions = [condition["query"] for condition in source["filter"]]
    view = next(ref["id"] for ref in search["references"] if ref["type"] == "index-pattern")
    order = [{field: {"order": direction}} for field, direction in search["attributes"]["sort"]]
    body = {"size": 10, "sort": order, "query": _query(source["query"]["query"], conditions)}

    answer = harness.search(body, f"{VIEWS[view]}")

    assert answer["hits"]["hits"] or search["id"] in EMPTY


@pytest.mark.parametrize("panel", CHARTS, ids=lambda panel: panel["panelIndex"])
def test_a_chart_has_something_to_draw(harness: Harness, panel: dict[str, Any]) -> None:
    chart = panel["embeddableConfig"]["attributes"]
    (layer,) = chart["state"]["datasourceStates"]["formBased"]["layers"].values()
    inner: dict[str, Any] = {}
    for column in reversed([layer["columns"][each] for each in layer["columnOrder"]]):
        if column["operationType"] == "terms":
            inner = {"aggs": {"by": {"terms": {"field": column["sourceField"], "size": 10}, **inner}}}
        elif column["operationType"] == "date_histogram":
            histogram = {"field": column["sourceField"], "fixed_interval": "1m"}
            inner = {"aggs": {"by": {"date_histogram": histogram, **inner}}}
    body = {"size": 0, "query": _query(chart["state"]["query"]["query"], []), **inner}

    answer = harness.search(body, f"{VIEWS[chart['references'][0]['id']]}")

    found = answer["aggregations"]["by"]["buckets"] if inner else answer["hits"]["total"]["value"]
    assert found or panel["panelIndex"] in EMPTY


def _query(kql: str, conditions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"bool": {"filter": [{"query_string": {"query": lucene(kql)}}, *conditions]}}
