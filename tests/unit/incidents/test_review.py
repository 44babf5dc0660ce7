"""The post-incident report, with a Prometheus that answers from a table."""

from __future__ import annotations

import re
from datetime import timedelta

import httpx
import pytest
from markdown_it import MarkdownIt

from agent_service.incidents import IncidentStatus, Reviewer, lifecycle
from agent_service.incidents.impact import ImpactReader
from agent_service.incidents.review import QUESTIONS, span_text
from agent_service.settings import Settings
from tests.unit.incidents.alerts import alert, minutes, notification

URL = "http://prometheus.test:9090"


def incident(**labels):
    opened, _ = lifecycle.receive(None, notification(alert(**labels)), minutes(1), "i-1")
    assert opened is not None
    taken = lifecycle.take_step(opened, IncidentStatus.ACKNOWLEDGED, "ada", minutes(3), "a | b\n# no heading <b>")
    return lifecycle.take_step(taken, IncidentStatus.RESOLVED, "ada", minutes(55))


def vector(*samples):
    result = [{"metric": labels, "value": [0, value]} for labels, value in samples]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def tasks(agent, outcome):
    return {"agent": agent, "outcome": outcome}


class Prometheus:
    """Answers by what a query begins with."""

    def __init__(self):
        self.queries = []
        self.answers = {
            "sum by (agent, outcome)": vector(
                (tasks("writer", "success"), "89.6"),
                (tasks("writer", "failure"), "7.2"),
                (tasks("writer", "retry"), "3"),
                (tasks("planner", "timeout"), "2.9"),
            ),
            "sum by (agent, error_type)": vector(({"agent": "writer", "error_type": "ValueError"}, "7")),
            "count by (alertname": vector(({"alertname": "AgentFailing", "severity": "critical"}, "1")),
        }
        self.waits = {"0s": "12.7", "3600s": "NaN"}

    def __call__(self, request):
        query = request.url.params["query"]
        self.queries.append((query, request.url.params["time"]))
        if query.startswith("histogram_quantile"):
            offset = re.search(r"offset (\w+)", query)
            assert offset
            return httpx.Response(200, json=vector(({}, self.waits[offset[1]])))
        return httpx.Response(200, json=next((a for q, a in self.answers.items() if query.startswith(q)), vector()))


def report(handler, **settings):
    reader = ImpactReader(f"{URL}/", transport=httpx.MockTransport(handler))
    return Reviewer(Settings(**settings), reader, clock=lambda: minutes(90)).report(incident())


def test_the_impact_is_what_prometheus_says_of_the_time_of_the_incident():
    prometheus = Prometheus()
    text = report(prometheus)
    assert "From 2026-03-04 08:55:00 to 2026-03-04 09:55:00, 1 h." in text
    assert "Tasks failed: 10 of 100 that ended (10.1%); 3 more runs went wrong and were tried again." in text
    assert "95 % of those that started had waited at most 13 s" in text
    assert "in the same time before: unknown, since none started." in text
    assert "| writer | failure | 7 |" in text
    assert "| planner | timeout | 3 |" in text
    assert "| writer | ValueError | 7 |" in text
    assert "Alerts that fired: AgentFailing (critical)." in text
    assert {time for _, time in prometheus.queries} == {f"{minutes(55).timestamp():.3f}"}
    assert all("[3600s]" in query for query, _ in prometheus.queries)


def answers(*responses):
    def handler(_request):
        if isinstance(responses[0], Exception):
            raise responses[0]
        return responses[0]

    return handler


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (httpx.ConnectError("refused"), f"Prometheus at {URL} does not answer"),
        (httpx.ReadTimeout("slow"), f"Prometheus at {URL} does not answer"),
        (httpx.Response(200, text="<html>"), f"what answers at {URL} is no Prometheus"),
        (httpx.Response(200, json={"data": {"result": "scalar"}}), f"what answers at {URL} is no Prometheus"),
        (httpx.Response(200, json={"data": {"result": [{"metric": {}}]}}), f"what answers at {URL} is no Prometheus"),
        (httpx.Response(422, json={"status": "error"}), f"what answers at {URL} is no Prometheus"),
    ],
)
def test_without_prometheus_the_impact_is_unknown_and_the_rest_is_there(answer, why):
    text = report(answers(answer))
    assert f"Impact unknown: {why}." in text
    assert all(question in text for question in QUESTIONS)


def test_without_the_setting_nothing_is_asked():
    text = Reviewer(Settings(), clock=lambda: minutes(90)).report(incident())
    assert "Impact unknown: PROMETHEUS_URL is not set." in text


def test_links_lead_to_the_time_of_the_incident():
    tools = {"grafana_url": "http://g.test", "kibana_url": "http://k.test", "jaeger_url": "http://j.test"}
    text = report(Prometheus(), **tools)
    begin, end = minutes(-5), minutes(55)
    window = f"from={int(begin.timestamp())}000&to={int(end.timestamp())}000"
    assert f"<http://g.test/d/agents?{window}>" in text
    assert "http://k.test/app/discover#/view/agents-all?" in text
    assert f"start={int(begin.timestamp())}000000&end={int(end.timestamp())}000000" in text
    assert "<http://localhost:8000/runbooks/AgentFailing>" in text


def test_the_alerts_own_dashboard_is_opened_at_that_time():
    with_dashboard = incident().model_copy(update={"dashboard_url": "http://g.test/d/queue?var-queue=a b>"})
    text = Reviewer(Settings(), clock=lambda: minutes(90)).report(with_dashboard)
    assert "<http://g.test/d/queue?var-queue=a%20b%3E&from=" in text


def test_without_any_link_it_says_so():
    bare = incident().model_copy(update={"runbook_url": None})
    assert "No link is known" in Reviewer(Settings(), clock=lambda: minutes(90)).report(bare)


def test_what_people_write_stays_text_in_its_cell():
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(report(Prometheus()))
    assert "<td>a | b # no heading &lt;b&gt;</td>" in html
    assert html.count("<h1>") == 1
    assert html.count("<h2>") == 5


def test_an_incident_that_goes_on_is_looked_at_until_now():
    opened, _ = lifecycle.receive(None, notification(), minutes(1), "i-1")
    assert opened is not None
    text = Reviewer(Settings(), clock=lambda: minutes(90)).report(opened)
    assert "to 2026-03-04 10:30:00" in text
    assert "| resolved after | not yet |" in text
    assert "still firing" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-3, "0 s"), (59, "59 s"), (60, "1 min"), (3_661, "1 h 1 min"), (3_601, "1 h"), (90_000, "1 d 1 h")],
)
def test_spans_are_told_in_two_units_at_most(seconds, text):
    assert span_text(timedelta(seconds=seconds)) == text
