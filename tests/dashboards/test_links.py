"""From a task's id to every tool: each URL carries the right ids and time, and the queries behind it find the task."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest

from tests.dashboards.grafana import Window
from tests.dashboards.harness import Harness
from tests.dashboards.kql import lucene
from tests.stack.project import API_KEY, Project


def test_in_grafana_the_agents_page_shows_the_task(harness: Harness, project: Project, task: dict[str, Any]) -> None:
    url = urlsplit(task["links"]["grafana"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    values = {name.removeprefix("var-"): value for name, value in query.items() if name.startswith("var-")}
    window = Window(int(query["from"]) / 1000, int(query["to"]) / 1000)

    assert values["agent"] == task["agent"]
    assert window.begin < _moment(task["submitted_at"]) < _moment(task["ended_at"]) < window.end
    shown = {panel.panel: panel.has_data for panel in harness.at(url.path.removeprefix("/d/"), values, window)}
    assert shown["Runs by outcome"]
    assert shown["Log lines"]
    assert shown["Traces"]


def test_in_kibana_the_search_finds_the_tasks_lines(harness: Harness, task: dict[str, Any]) -> None:
    url = unquote(task["links"]["kibana"])
    query = re.search(r"query:'([^']*)'", url)
    times = re.search(r"from:'([^']*)',to:'([^']*)'", url)
    assert query
    assert times

    body = {
        "size": 100,
        "query": {
            "bool": {
                "filter": [
                    {"query_string": {"query": lucene(query[1])}},
                    {"range": {"@timestamp": {"gte": times[1], "lte": times[2]}}},
                ]
            }
        },
    }
    hits = harness.search(body)["hits"]["hits"]

    assert hits
    assert {hit["_source"]["task"]["id"] for hit in hits} == {task["id"]}


def test_in_jaeger_the_trace_holds_the_task(project: Project, task: dict[str, Any]) -> None:
    path = urlsplit(task["links"]["jaeger"]).path
    assert path == f"/trace/{task['trace_id']}"

    spans = project.spans(path.removeprefix("/trace/"))

    assert task["id"] in {span["tags"].get("task.id") for span in spans}


def test_the_task_itself_is_read_at_its_own_link(project: Project, task: dict[str, Any]) -> None:
    assert project.api.get(task["links"]["self"]).json()["id"] == task["id"]


def test_in_the_console_the_tasks_page_shows_it(project: Project, task: dict[str, Any]) -> None:
    url = task["links"]["console"]
    browser = httpx.Client(follow_redirects=True, timeout=30)

    asked = browser.get(url)
    own = {"Origin": f"http://{urlsplit(url).netloc}"}
    browser.post(str(asked.url), data={"key": API_KEY, "next": urlsplit(url).path}, headers=own)
    page = browser.get(url)

    assert urlsplit(url).port == project.ports["api"]
    assert page.status_code == 200
    assert task["id"] in page.text
    assert f"invoke_agent {task['agent']}" in page.text


@pytest.mark.parametrize("tool", ["grafana", "kibana", "jaeger"])
def test_every_link_leads_to_where_the_tool_listens(project: Project, task: dict[str, Any], tool: str) -> None:
    assert urlsplit(task["links"][tool]).port == project.ports[tool]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
