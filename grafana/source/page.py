"""Turns the dashboards into text: their JSON, and the page of questions in the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

_INTRODUCTION: Final = """\
# Dashboards

Each dashboard of Grafana starts with a row that asks whether all is well; what follows is for finding out why not. A
panel's own description is the question that it answers. All of them are listed here.

| dashboard | what it is for |
| --- | --- |
"""
_HOW: Final = """
## From one signal to the next

| from | to | how |
| --- | --- | --- |
| a dot on a graph of run, wait or answer times | the trace | click it, then *Trace in Jaeger* |
| a trace | its log lines | *Logs for this span*, beside each span |
| a trace | the agent's metrics | *Metrics for this span* |
| a log line | its trace | the link at its field `trace_id` |
| an alert | its runbook and its dashboard | the links in the message; in *Firing and pending* the alert's name |
| an agent's name in a table | that agent's page | click it |
| a panel with limits | what to do when they are passed | the runbooks in the panel's menu of links |
| a task | the console, Grafana, Kibana and Jaeger at its time | the `links` in the answer of `GET /tasks/{id}` |
| a line or a chart in Kibana | the trace, the task | the links of the fields `trace_id` and `task.id` |
| a trace in Jaeger's own pages | Kibana, Grafana, the task | the links at the top and at the tags |

Blue marks on every graph are starts of the service, and so deployments; red ones critical alerts, orange ones open
incidents. Where an alert watches what a panel shows, the panel's colors change at the limits of the alert's rule, which
are read from `prometheus/rules/` when the dashboards are written.

## Change them

The dashboards are written by the Python package `grafana/source`, with one module for each in `boards/`, and Kibana's
saved objects by `kibana/source`. `make dashboards` writes the JSON, the NDJSON and this page; `make check` says where
they differ. What is changed in the browser is not kept.

Links lead to the ports that `.env` has from the start. With others, change `grafana/source/addresses.py`,
`kibana/source/addresses.py` and `jaeger/ui.json`.

`make test-dashboards` starts the stack, lets agents work and fail, and runs the query of every panel, as Grafana would,
against the real Prometheus, Elasticsearch and Jaeger.
"""


def text_of(document: dict[str, Any]) -> str:
    """Return a dashboard as its file has it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def page(documents: Iterable[dict[str, Any]]) -> str:
    """Return docs/dashboards.md."""
    every = list(documents)
    index = "".join(f"| [{each['title']}](#{_anchor(each['title'])}) | {each['description']} |\n" for each in every)
    questions = "".join("\n".join(_lines(each)) + "\n" for each in every)
    return f"{_INTRODUCTION}{index}{_HOW}{questions}"


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield f"\n## {document['title']}\n"
    yield "| panel | question |"
    yield "| --- | --- |"
    for panel in document["panels"]:
        if panel["type"] == "row":
            yield f"| **{panel['title']}** | |"
        else:
            yield f"| {panel['title']} | {panel['description']} |"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
