"""Variables and intervals are filled in as Grafana fills them in."""

from __future__ import annotations

import pytest

from tests.dashboards.grafana import Value, Window, expand, has_documents, opened, search_body, trace_parameters

HOUR = Window(0, 3600)
SIX_HOURS = Window(0, 6 * 3600)


@pytest.mark.parametrize(
    ("window", "interval", "step", "rate"),
    [(HOUR, None, "10s", "40s"), (SIX_HOURS, None, "22s", "40s"), (HOUR, "30s", "30s", "120s")],
)
def test_a_rate_spans_four_scrapes(window, interval, step, rate):
    built_in = window.built_in(interval)

    assert (built_in["__interval"], built_in["__rate_interval"]) == (step, rate)


@pytest.mark.parametrize(
    ("value", "source", "written"),
    [
        (Value(("a",)), "prometheus", "a"),
        (Value(("a", "b"), ".*", several=True), "prometheus", ".*"),
        (Value(("a.b", "c"), several=True), "prometheus", "(a\\.b|c)"),
        (Value(("a", "b"), "*", several=True), "elasticsearch", "*"),
        (Value(("a", "b"), several=True), "elasticsearch", '("a" OR "b")'),
    ],
)
def test_a_choice_is_written_as_its_source_needs_it(value, source, written):
    assert expand("x:$name y:${name}", {"name": value}, {}, source) == f"x:{written} y:{written}"


def test_an_unknown_variable_is_a_fault():
    with pytest.raises(KeyError):
        expand("$nobody", {}, {}, "prometheus")


def test_a_dashboard_opens_with_all_where_it_may_and_with_the_first_where_not():
    query = {"type": "query", "datasource": {"type": "prometheus"}, "query": "q"}
    variables = [
        {**query, "name": "many", "includeAll": True, "allValue": ".*"},
        {**query, "name": "one"},
        {"type": "textbox", "name": "text", "query": "*"},
        {"type": "adhoc", "name": "filter"},
    ]

    choice = opened({"templating": {"list": variables}}, lambda *_: ["a", "b"])

    assert {name: value.written("prometheus", None) for name, value in choice.items()} == {
        "many": ".*",
        "one": "a",
        "text": "*",
    }


def test_terms_hold_the_time_inside_of_them():
    target = {
        "timeField": "@timestamp",
        "metrics": [{"type": "count"}],
        "bucketAggs": [
            {"id": "a", "type": "terms", "field": "f", "settings": {"size": "5", "order": "desc", "orderBy": "_count"}},
            {"id": "t", "type": "date_histogram", "field": "@timestamp", "settings": {"min_doc_count": "0"}},
        ],
    }

    body = search_body(target, "", HOUR)

    assert body["aggs"]["a"]["terms"]["field"] == "f"
    assert body["aggs"]["a"]["aggs"]["t"]["date_histogram"]["fixed_interval"] == "10000ms"
    assert body["query"]["bool"]["filter"][1]["query_string"]["query"] == "*"


@pytest.mark.parametrize(
    ("answer", "has"),
    [
        ({"hits": {"hits": []}}, False),
        ({"hits": {"hits": [1]}}, True),
        ({"hits": {"hits": []}, "aggregations": {"a": {"buckets": [{"doc_count": 0}]}}}, False),
        ({"hits": {"hits": []}, "aggregations": {"a": {"buckets": [{"doc_count": 2}]}}}, True),
    ],
)
def test_empty_buckets_are_nothing(answer, has):
    assert has_documents(answer) is has


def test_a_search_for_traces_names_the_time_in_microseconds():
    target = {"service": "s", "operation": "run $agent", "tags": "error=true", "limit": 5}

    parameters = trace_parameters(target, {"agent": Value(("x",))}, Window(1, 2))

    assert parameters["operation"] == "run x"
    assert parameters["tags"] == '{"error": "true"}'
    assert (parameters["start"], parameters["end"]) == ("1000000", "2000000")
