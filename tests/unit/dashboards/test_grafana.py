"""The dashboards are what their source writes, and nothing in them leads nowhere."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from agent_service.tasks import links
from agent_service.telemetry.contract import METRICS, MetricKind
from grafana.source.__main__ import PAGE
from grafana.source.boards import BOARDS
from grafana.source.page import page, text_of
from stack.names import known_fields, known_metrics, metrics_in, rules
from tests.dashboards.grafana import panels
from tests.unit.dashboards.files import (
    DASHBOARDS,
    JAEGER_UI,
    RULES,
    SAVED_OBJECTS,
    SOURCES,
    linked_dashboards,
    nodes,
    read,
    texts,
)

WIDTH = 24
FIRST_ROW = "Is it fine?"
UIDS = {board.uid for board in BOARDS}
KINDS = {source["uid"]: source["type"] for source in SOURCES}
TARGET_LABELS = {"job", "instance", "worker", "queue", "__name__", "alertname", "alertstate", "escalation", "receiver"}
"""What Prometheus adds to every series, or has on its own ones."""
EXPORTER_LABELS = {
    "area", "cmd", "code", "color", "config", "datasource", "device", "fstype", "gc", "integration", "le", "mode",
    "mountpoint", "name", "rule_group", "rule_name", "service_name", "span_kind", "span_name", "state", "type",
}  # fmt: skip
"""Labels of other programs' metrics that the dashboards use."""
UNSHOWN = {
    "agent_cost_usd_total",
    "gen_ai_client_operation_duration_seconds",
    "gen_ai_client_token_usage",
}
"""Metrics that no dashboard shows and no rule judges: those of agents that call models, of which there is none yet."""

each_dashboard = pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)


def test_every_dashboard_is_what_its_source_writes():
    written = {file.stem: file.read_text(encoding="utf-8") for file in DASHBOARDS}

    assert written == {board.uid: text_of(board.build()) for board in BOARDS}, "run `make dashboards`"


def test_the_page_of_questions_is_what_the_source_writes():
    assert PAGE.read_text(encoding="utf-8") == page(board.build() for board in BOARDS), "run `make dashboards`"


@each_dashboard
def test_grafanas_own_types_take_it(file: Path):
    register_default_plugins()
    document = read(file)

    again = json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))

    # The types know no options of annotations.
    assert {**again, "annotations": None} == {**document, "annotations": None}


@each_dashboard
def test_it_can_be_provisioned(file: Path):
    document = read(file)

    assert document["uid"] == file.stem
    assert "__inputs" not in document
    assert "__requires" not in document
    assert document.get("id") is None, "Grafana gives the number"
    assert re.fullmatch(r"[a-z][a-z-]{0,39}", document["uid"])


@each_dashboard
def test_panels_have_ids_titles_and_questions_of_their_own(file: Path):
    document = read(file)
    shown = list(panels(document))

    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
    assert [title for title, times in Counter(panel["title"] for panel in shown).items() if times > 1] == []
    assert [panel["title"] for panel in shown if not panel["description"].endswith((".", "?"))] == []
    assert [panel["title"] for panel in shown if not panel["targets"]] == []


@each_dashboard
def test_no_panel_lies_over_another(file: Path):
    taken: dict[tuple[int, int], str] = {}
    for panel in read(file)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies over {taken[x, y]}"
                taken[x, y] = panel["title"]


@each_dashboard
def test_it_begins_with_whether_all_is_well(file: Path):
    document = read(file)
    first, *rest = document["panels"]

    assert (first["type"], first["title"]) == ("row", FIRST_ROW)
    row = [panel for panel in rest if panel["gridPos"]["y"] == 1]
    assert sum(panel["gridPos"]["w"] for panel in row) == WIDTH


@each_dashboard
def test_every_number_has_a_unit(file: Path):
    drawn = ("stat", "timeseries", "bargauge")

    bare = [panel["title"] for panel in panels(read(file)) if panel["type"] in drawn and _asks_prometheus(panel)
            and not panel["fieldConfig"]["defaults"].get("unit")]  # fmt: skip

    assert bare == []


@each_dashboard
def test_every_source_is_provisioned(file: Path):
    document = read(file)
    used = {
        (node["datasource"]["uid"], node["datasource"]["type"])
        for node in nodes(document)
        if isinstance(node.get("datasource"), dict)
    }

    assert used <= set(KINDS.items())


@each_dashboard
def test_every_variable_that_is_used_exists(file: Path):
    document = read(file)
    defined = {variable["name"] for variable in document["templating"]["list"]}
    used = {
        match[1] or match[2]
        for text in texts([document["panels"], document["links"], document["annotations"]])
        for match in re.finditer(r"\$\{(\w+)[.:}]|\$(\w+)", text)
    }

    assert {name for name in used if not name.startswith("__")} <= defined
    # Those that filter filter every panel by themselves.
    filters = {variable["name"] for variable in document["templating"]["list"] if variable["type"] == "adhoc"}
    addresses = {name for name in defined if name.endswith("_url")}
    assert defined - used - filters - addresses == set()


@each_dashboard
def test_every_variable_holds_something_at_first(file: Path):
    for variable in read(file)["templating"]["list"]:
        if variable["type"] == "query" and variable.get("includeAll"):
            assert variable["current"]["value"] == "$__all"
            assert variable["allValue"]
        if variable["type"] in {"textbox", "constant"}:
            assert variable["query"]
        if variable["type"] == "query":
            assert variable["refresh"] == 2, "values come and go with the time that is looked at"


@each_dashboard
def test_every_dashboard_that_is_linked_exists(file: Path):
    assert linked_dashboards(read(file)) <= UIDS


def test_the_page_of_an_agent_has_the_variables_that_a_tasks_link_fills_in():
    page = read(next(file for file in DASHBOARDS if file.stem == links.AGENT_DASHBOARD))

    assert {"agent", "task"} <= {variable["name"] for variable in page["templating"]["list"]}


def test_every_dashboard_that_others_link_to_exists():
    named = linked_dashboards([RULES, SAVED_OBJECTS, JAEGER_UI]) | {links.GRAFANA_DASHBOARD, links.AGENT_DASHBOARD}

    assert named <= UIDS


@each_dashboard
def test_every_runbook_that_is_linked_is_that_of_an_alert(file: Path):
    known = {rule["alert"] for rule in RULES if "alert" in rule}
    named = {name for text in texts(read(file)) for name in re.findall(r"/runbooks/(\w+)", text)}

    assert named <= known


@each_dashboard
def test_every_metric_exists(file: Path):
    named = {metric for expr in _expressions(read(file)) for metric in metrics_in(_bare(expr))}

    assert named <= known_metrics()


@each_dashboard
def test_every_label_exists(file: Path):
    ours = {metric.name: set(metric.labels) for metric in METRICS}
    faults = []
    for expr in _expressions(read(file)):
        for name, selector in re.findall(r"([A-Za-z_:][\w:]*)\{([^{}]*)\}", expr):
            family = re.sub(r"_(bucket|count|sum)$", "", name)
            named = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', "", selector)))
            allowed = ours.get(name, ours.get(family, EXPORTER_LABELS | _recorded_labels())) | TARGET_LABELS | {"le"}
            faults += [f"{name} has no label {label}" for label in sorted(named - allowed)]
        grouped = {label for group in re.findall(r"\bby \(([^()]*)\)", expr) for label in re.split(r",\s*", group)}
        every = {label for labels in ours.values() for label in labels} | TARGET_LABELS | EXPORTER_LABELS
        faults += [f"there is no label {label}: {expr}" for label in sorted(grouped - every)]

    assert faults == []


@each_dashboard
def test_every_log_field_exists(file: Path):
    named = set()
    for node in nodes(read(file)):
        source = node.get("datasource")
        if isinstance(source, dict) and source.get("type") == "elasticsearch":
            named |= {bucket["field"] for bucket in node.get("bucketAggs", ())}
            named |= set(
                re.findall(r"([@a-z_]+(?:\.[a-z_]+)*):", re.sub(r'"[^"]*"|\$\{[^}]*\}', "", str(node.get("query", ""))))
            )

    assert {name for name in named if name not in {"find", "field", "size"}} <= known_fields()


def test_metrics_that_nobody_watches_are_listed():
    watched = {
        metric for file in DASHBOARDS for expr in _expressions(read(file)) for metric in metrics_in(_bare(expr))
    } | {metric for _, rule in rules() for metric in metrics_in(rule["expr"])}
    ends = ("_bucket", "_count", "_sum")

    unwatched = {
        metric.name
        for metric in METRICS
        if not watched
        & ({f"{metric.name}{end}" for end in ends} if metric.kind is MetricKind.HISTOGRAM else {metric.name})
    }

    assert unwatched == UNSHOWN


def test_every_way_from_one_signal_to_the_next_is_provisioned():
    by_uid = {source["uid"]: source["jsonData"] for source in SOURCES}

    exemplars = by_uid["prometheus"]["exemplarTraceIdDestinations"]
    assert [(each["name"], each["datasourceUid"]) for each in exemplars] == [("trace_id", "jaeger")]
    assert by_uid["jaeger"]["tracesToLogsV2"]["datasourceUid"] == "elasticsearch"
    assert by_uid["jaeger"]["tracesToMetrics"]["datasourceUid"] == "prometheus"
    assert [(each["field"], each["datasourceUid"]) for each in by_uid["elasticsearch"]["dataLinks"]] == [
        ("trace_id", "jaeger")
    ]
    assert by_uid["alertmanager"]["implementation"] == "prometheus"
    assert [rule["alert"] for rule in RULES if "alert" in rule and "dashboard_url" not in rule["annotations"]] == []


def _expressions(document: object) -> list[str]:
    """Return the PromQL of panels and annotations, and the series whose labels fill variables."""
    found = [node["expr"] for node in nodes(document) if isinstance(node.get("expr"), str)]
    asked = [node["query"]["query"] for node in nodes(document) if isinstance(node.get("query"), dict)]
    return found + [re.sub(r"label_values\((.+), (\w+)\)", r"max by (\2) (\1)", query) for query in asked]


def _bare(expr: str) -> str:
    return re.sub(r"\$\{?\w+\}?", "1m", expr)


def _recorded_labels() -> set[str]:
    return {"agent", "queue", "outcome", "error_type", "severity", "team"}


def _asks_prometheus(panel: dict[str, object]) -> bool:
    return panel["datasource"]["type"] == "prometheus"  # type: ignore[index]
