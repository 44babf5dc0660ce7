"""Metrics and fields are found in what the tools' own languages say."""

from __future__ import annotations

import pytest

from stack.names import metrics_in, pipeline_fields, query_fields


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ("up == 0", {"up"}),
        ('sum by (agent) (rate(agent_tasks_total{outcome=~"a|b"}[5m]))', {"agent_tasks_total"}),
        ("a:b:rate5m > 0.2 and on (queue) c offset 5m", {"a:b:rate5m", "c"}),
        ("histogram_quantile(0.95, sum(rate(x_bucket[$__rate_interval])) by (le))", {"x_bucket"}),
        ('label_replace(x, "y", "$1", "z", "(.*)")', {"x"}),
        ("x * on (a) group_left (b) y", {"x", "y"}),
        ("x * on (a) group_left y", {"x", "y"}),
        ("time() - x @ end()", {"x"}),
        ("vector(1)", set()),
        ("1e9 + 0x1F + inf", set()),
        ('x{agent=~"$agent"}[1h:5m]', {"x"}),
    ],
)
def test_metrics_are_found(expression: str, metrics: set[str]) -> None:
    assert metrics_in(expression) == metrics


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", set()),
        ("log.level : (error or critical)", {"log.level"}),
        ('task.id:"a:b" and not error.type:*', {"task.id", "error.type"}),
        ("trace.id:%22#{traceID}%22", {"trace.id"}),
        ("words without a field", set()),
    ],
)
def test_fields_are_found_in_queries(query: str, fields: set[str]) -> None:
    assert query_fields(query) == fields


def test_fields_are_found_in_pipelines() -> None:
    text = 'if [event][id] { mutate { add_field => { "[@metadata][id]" => "%{[task][id]}" } } }\n# [no][field]\n'

    assert pipeline_fields(text) == {"event.id", "task.id"}
