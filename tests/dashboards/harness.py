"""Runs the queries of dashboards against the stack, as Grafana would, and says which panels have nothing to show."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.names import metrics_in
from tests.dashboards.grafana import (
    Choice,
    Value,
    Window,
    expand,
    has_documents,
    opened,
    panels,
    search_body,
    trace_parameters,
)
from tests.stack.project import REPOSITORY, Project

DASHBOARDS = sorted((REPOSITORY / "grafana" / "dashboards").glob("*.json"))
LOGS = "logs-agents-*"
STAND_INS = {"logstash_": "logstash", "grafana_": "grafana", "container_": "cadvisor"}
"""The first letters of metrics, and the service whose image may be a placeholder."""


def read(file: Path) -> dict[str, Any]:
    """Return a dashboard."""
    return dict(json.loads(file.read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of one panel.

    Attributes:
        dashboard: The dashboard's uid.
        panel: The panel's title.
        has_data: Whether one of its queries returned something.
        queries: What was asked.
    """

    dashboard: str
    panel: str
    has_data: bool
    queries: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.dashboard, self.panel


class Harness:
    """Asks the stack's backends what Grafana would ask them.

    Attributes:
        now: When it was made: the end of the time that is looked at.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self.now = time.time()

    def dashboard(self, file: Path) -> list[Shown]:
        """Return what each panel of a dashboard shows when it is opened.

        A dashboard for one of many things is opened at each of them; a panel has data where it has for one.
        """
        document = read(file)
        window = Window.of(document, self.now)
        choices = list(self._choices(document))
        return [self._panel(document["uid"], panel, choices, window) for panel in panels(document)]

    def at(self, uid: str, values: Mapping[str, str], window: Window) -> list[Shown]:
        """Return what a dashboard shows with certain values for its variables, at a certain time."""
        document = read(REPOSITORY / "grafana" / "dashboards" / f"{uid}.json")
        choice = {**opened(document, self.values), **{name: Value((value,)) for name, value in values.items()}}
        return [self._panel(uid, panel, [choice], window) for panel in panels(document)]

    def _choices(self, document: Mapping[str, Any]) -> Sequence[Choice]:
        first = opened(document, self.values)
        single = next(
            (v for v in document["templating"]["list"] if v["type"] == "query" and not v.get("includeAll")), None
        )
        if single is None:
            return [first]
        every = self.values(single["datasource"]["type"], single["query"])
        return [{**first, single["name"]: Value((value,))} for value in every]

    def _panel(self, uid: str, panel: Mapping[str, Any], choices: Sequence[Choice], window: Window) -> Shown:
        asked = []
        for choice in choices:
            for target in panel["targets"]:
                query, found = self._run(target, choice, window)
                asked.append(query)
                if found:
                    return Shown(uid, panel["title"], has_data=True, queries=tuple(asked))
        return Shown(uid, panel["title"], has_data=False, queries=tuple(asked))

    def _run(self, target: Mapping[str, Any], choice: Choice, window: Window) -> tuple[str, bool]:
        source = target["datasource"]["type"]
        if source == "prometheus":
            query = expand(target["expr"], choice, window.built_in(target.get("interval")), source)
            return query, self.has_samples(query, window, instant=target.get("instant", False))
        if source == "elasticsearch":
            query = expand(target["query"], choice, window.built_in(None), source)
            return query, has_documents(self.search(search_body(target, query, window)))
        parameters = trace_parameters(target, choice, window)
        return json.dumps(parameters), bool(self.traces(parameters))

    def annotations(self, document: Mapping[str, Any]) -> list[str]:
        """Return the annotations of a dashboard that have something to mark."""
        window = Window.of(document, self.now)
        found = []
        for annotation in document["annotations"]["list"]:
            if annotation["datasource"]["type"] == "prometheus":
                has_marks = self.has_samples(annotation["expr"], window, instant=False, interval=annotation["step"])
            else:
                target = {"timeField": annotation["timeField"], "metrics": [{"type": "logs", "settings": {"limit": 1}}]}
                has_marks = has_documents(self.search(search_body(target, annotation["query"], window)))
            found += [annotation["name"]] if has_marks else []
        return found

    def exemplars_of(self, panel: Mapping[str, Any], document: Mapping[str, Any], window: Window) -> list[str]:
        """Return the traces of the single observations that a panel shows."""
        return [
            trace_id
            for choice in self._choices(document)
            for target in panel["targets"]
            if target.get("exemplar")
            for trace_id in self.exemplars(
                expand(target["expr"], choice, window.built_in(target.get("interval")), "prometheus"), window
            )
        ]

    # The backends

    def values(self, source: str, query: Mapping[str, Any] | str) -> list[str]:
        """Return the values for a variable."""
        if source == "prometheus":
            assert isinstance(query, dict)
            wanted = re.fullmatch(r"label_values\((.+), (\w+)\)", query["query"])
            assert wanted, query
            answer = self._project.http.get(
                f"{self._project.url('prometheus')}/api/v1/label/{wanted[2]}/values",
                params={"match[]": wanted[1], "start": str(self.now - 3600)},
            )
            return list(answer.raise_for_status().json()["data"])
        assert isinstance(query, str)
        terms = json.loads(query)
        assert terms["find"] == "terms"
        body = {"size": 0, "aggs": {"values": {"terms": {"field": terms["field"], "size": terms["size"]}}}}
        return [bucket["key"] for bucket in self.search(body)["aggregations"]["values"]["buckets"]]

    def has_samples(self, query: str, window: Window, *, instant: bool, interval: str | None = None) -> bool:
        """Return whether Prometheus has a number for a query."""
        when = (
            {"time": f"{window.end:.0f}"}
            if instant
            else {"start": f"{window.begin:.0f}", "end": f"{window.end:.0f}", "step": f"{window.step(interval):.0f}"}
        )
        path = "query" if instant else "query_range"
        url = f"{self._project.url('prometheus')}/api/v1/{path}"
        answer = self._project.http.post(url, data={"query": query, **when})
        assert answer.status_code == 200, f"{query}: {answer.text}"
        return any(
            math.isfinite(float(value))
            for result in answer.json()["data"]["result"]
            for _, value in ([result["value"]] if instant else result["values"])
        )

    def exemplars(self, query: str, window: Window) -> list[str]:
        """Return the traces of the single observations that are shown over a query's lines."""
        answer = self._project.http.get(
            f"{self._project.url('prometheus')}/api/v1/query_exemplars",
            params={"query": query, "start": f"{window.begin:.0f}", "end": f"{window.end:.0f}"},
        )
        found = answer.raise_for_status().json()["data"]
        return [exemplar["labels"]["trace_id"] for one in found for exemplar in one["exemplars"]]

    def search(self, body: Mapping[str, Any], index: str = LOGS) -> dict[str, Any]:
        """Return what Elasticsearch finds for the user that Grafana is."""
        answer = self._project.elastic(
            "POST", f"/{index}/_search?allow_no_indices=true", user="grafana_reader", body=body
        )
        assert answer.status_code == 200, f"{json.dumps(body)}: {answer.text}"
        return dict(answer.json())

    def traces(self, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return what Jaeger finds."""
        answer = self._project.http.get(f"{self._project.url('jaeger')}/api/traces", params=dict(parameters))
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return list(answer.json()["data"] or [])

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """Return the spans of a trace."""
        return self._project.spans(trace_id)

    # Why a panel may be empty

    def stand_in(self, shown: Shown) -> str | None:
        """Return the service that cannot tell anything here since no real image of it is, if the panel needs it."""
        for first, service in STAND_INS.items():
            metrics = {metric for query in shown.queries for metric in metrics_in(query)}
            if (
                metrics
                and all(metric.startswith(first) for metric in metrics)
                and self._project.is_placeholder(service)
            ):
                return service
        return None
