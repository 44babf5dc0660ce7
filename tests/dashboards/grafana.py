"""What Grafana does between a dashboard and a query: variables, intervals, and the query of each kind of source."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MIN_INTERVAL = 10.0
"""`timeInterval` of the source for Prometheus, in seconds."""
POINTS = 1_000
"""How many points a wide panel asks for."""
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is looked at, in Unix seconds."""

    begin: float
    end: float

    @classmethod
    def of(cls, dashboard: Mapping[str, Any], now: float) -> Window:
        """Return what a dashboard shows when it is opened."""
        since = re.fullmatch(r"now-(\d+)([smhd])", dashboard["time"]["from"])
        assert since, dashboard["time"]
        return cls(now - int(since[1]) * _UNITS[since[2]], now)

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def step(self, interval: str | None) -> float:
        """Return the distance of two points, for a query that has a smallest interval or none."""
        return max(_seconds(interval) if interval else MIN_INTERVAL, math.ceil(self.seconds / POINTS))

    def built_in(self, interval: str | None) -> dict[str, str]:
        """Return Grafana's own variables."""
        step, smallest = self.step(interval), _seconds(interval) if interval else MIN_INTERVAL
        return {
            "__interval": f"{step:.0f}s",
            "__rate_interval": f"{max(step + smallest, 4 * smallest):.0f}s",
            "__range": f"{self.seconds:.0f}s",
            "__range_s": f"{self.seconds:.0f}",
        }


def _seconds(text: str) -> float:
    return int(text[:-1]) * _UNITS[text[-1]]


@dataclass(frozen=True, slots=True)
class Value:
    """What is chosen for a variable.

    Attributes:
        values: The chosen values; a single one is written as it is.
        whole: What stands for all of them, if all are chosen and the dashboard says how.
        several: Whether more than one may be chosen.
    """

    values: tuple[str, ...]
    whole: str | None = None
    several: bool = False

    def written(self, source: str, form: str | None) -> str:
        """Return it as it stands in a query of a kind of source."""
        if self.whole is not None:
            return self.whole
        if not self.several:
            return self.values[0] if self.values else ""
        if form == "lucene" or source == "elasticsearch":
            return "(" + " OR ".join(f'"{value}"' for value in self.values) + ")"
        return "(" + "|".join(re.escape(value) for value in self.values) + ")"


Choice = Mapping[str, Value]
Lookup = Callable[[str, Mapping[str, Any] | str], Sequence[str]]
"""Returns the values that a source has for the query of a variable."""


def opened(dashboard: Mapping[str, Any], look_up: Lookup) -> dict[str, Value]:
    """Return what the variables hold when somebody opens the dashboard for the first time."""
    chosen = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "adhoc":
            chosen[variable["name"]] = _opened(variable, look_up)
    return chosen


def _opened(variable: Mapping[str, Any], look_up: Lookup) -> Value:
    if variable["type"] in {"constant", "textbox"}:
        return Value((variable["query"],))
    values = tuple(look_up(variable["datasource"]["type"], variable["query"]))
    if variable.get("includeAll"):
        return Value(values, variable.get("allValue"), several=True)
    return Value(values[:1])


def expand(text: str, choice: Choice, built_in: Mapping[str, str], source: str) -> str:
    """Return a text with its variables filled in.

    Raises:
        KeyError: There is no such variable.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if name in built_in:
            return built_in[name]
        return choice[name].written(source, match[2])

    return _VARIABLE.sub(value, text)


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels, those of folded rows too, without the rows."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", ())
        else:
            yield panel


def search_body(target: Mapping[str, Any], query: str, window: Window) -> dict[str, Any]:
    """Return what Grafana asks Elasticsearch."""
    begin, end = round(window.begin * 1000), round(window.end * 1000)
    time_field = target["timeField"]
    body: dict[str, Any] = {
        "size": 0,
        "query": {
            "bool": {
                "filter": [
                    {"range": {time_field: {"gte": begin, "lte": end, "format": "epoch_millis"}}},
                    {"query_string": {"analyze_wildcard": True, "query": query or "*"}},
                ]
            }
        },
    }
    metric = target["metrics"][0]
    if metric["type"] == "logs":
        return {**body, "size": int(metric["settings"]["limit"]), "sort": [{time_field: {"order": "desc"}}]}
    inner: dict[str, Any] = {}
    for bucket in reversed(target["bucketAggs"]):
        made = _bucket(bucket, window, begin, end)
        inner = {"aggs": {bucket["id"]: {**made, **inner}}}
    return {**body, **inner}


def _bucket(bucket: Mapping[str, Any], window: Window, begin: int, end: int) -> dict[str, Any]:
    if bucket["type"] == "date_histogram":
        return {
            "date_histogram": {
                "field": bucket["field"],
                "fixed_interval": f"{window.step(None) * 1000:.0f}ms",
                "min_doc_count": int(bucket["settings"]["min_doc_count"]),
                "extended_bounds": {"min": begin, "max": end},
                "format": "epoch_millis",
            }
        }
    settings = bucket["settings"]
    order = {"_term": "_key"}.get(settings["orderBy"], settings["orderBy"])
    return {"terms": {"field": bucket["field"], "size": int(settings["size"]), "order": {order: settings["order"]}}}


def has_documents(answer: Mapping[str, Any]) -> bool:
    """Return whether a search found a line, or a bucket with lines."""
    if "aggregations" not in answer:
        return bool(answer["hits"]["hits"])
    return any(bucket["doc_count"] for found in answer["aggregations"].values() for bucket in found["buckets"])


def trace_parameters(target: Mapping[str, Any], choice: Choice, window: Window) -> dict[str, str]:
    """Return what Grafana asks Jaeger."""
    names = {"service": "service", "operation": "operation", "minDuration": "minDuration"}
    filled = {
        parameter: expand(target[name], choice, {}, "jaeger") for name, parameter in names.items() if name in target
    }
    if "tags" in target:
        pairs = (pair.partition("=") for pair in expand(target["tags"], choice, {}, "jaeger").split())
        filled["tags"] = json.dumps({key: value for key, _, value in pairs})
    return {
        **filled,
        "limit": str(target["limit"]),
        "start": f"{window.begin * 1e6:.0f}",
        "end": f"{window.end * 1e6:.0f}",
        "lookback": "custom",
    }
