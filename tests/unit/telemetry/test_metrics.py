"""What Prometheus reads from one process."""

import threading

import pytest
from prometheus_client import Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from agent_service.telemetry import contract
from agent_service.telemetry import metrics as metrics_module
from agent_service.telemetry.contract import Metric, MetricKind
from agent_service.telemetry.metrics import Metrics, Sample

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def samples(metrics):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(metrics.render()[0].decode())
        for sample in family.samples
    }


def test_a_counter_is_shown_under_the_name_of_the_contract():
    metrics = Metrics()
    metrics.count(contract.TASKS_SUBMITTED, agent="a", queue="q")
    metrics.count(contract.TASKS_SUBMITTED, 2, agent="a", queue="q")
    assert samples(metrics) == {("agent_tasks_submitted_total", (("agent", "a"), ("queue", "q"))): 3}


@pytest.mark.parametrize("metric", contract.METRICS, ids=lambda metric: metric.name)
def test_every_metric_of_the_contract_can_be_shown(metric):
    metrics = Metrics()
    labels = dict.fromkeys(metric.labels, "x")
    {
        MetricKind.COUNTER: metrics.count,
        MetricKind.GAUGE: metrics.set,
        MetricKind.HISTOGRAM: metrics.observe,
    }[metric.kind](metric, 1.0, **labels)
    suffix = "_count" if metric.kind is MetricKind.HISTOGRAM else ""
    assert (metric.name + suffix, tuple(sorted(labels.items()))) in samples(metrics)


def test_wrong_labels_are_refused_with_the_right_ones():
    with pytest.raises(ValueError, match=r"agent_tasks_submitted_total has the labels \['agent', 'queue'\]"):
        Metrics().count(contract.TASKS_SUBMITTED, agent="a")


def test_a_histogram_carries_its_trace_where_openmetrics_is_asked_for():
    metrics = Metrics()
    metrics.observe(contract.TASK_DURATION, 0.3, trace_id=TRACE, agent="a", outcome="success")
    body, content_type = metrics.render(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    exemplars = [s.exemplar for family in parse_openmetrics(body.decode()) for s in family.samples if s.exemplar]
    assert [(e.labels, e.value) for e in exemplars] == [({"trace_id": TRACE}, 0.3)]
    assert b"trace_id" not in metrics.render()[0]


def test_computed_values_are_asked_for_at_each_scrape():
    metrics, value = Metrics(), iter([1, 2])
    metrics.add_collector(lambda: [Sample(contract.QUEUE_TASKS, next(value), {"queue": "q", "state": "queued"})])
    key = ("agent_queue_tasks", (("queue", "q"), ("state", "queued")))
    assert [samples(metrics)[key], samples(metrics)[key]] == [1, 2]


def test_a_source_that_fails_costs_only_its_own_values_and_is_told_once(caplog):
    metrics, broken = Metrics(), [True]

    def collect():
        if broken[0]:
            raise ConnectionError("Redis is away")
        return [Sample(contract.WORKER_MEMORY, 1, {})]

    metrics.add_collector(collect)
    metrics.count(contract.TASKS_SUBMITTED, agent="a", queue="q")
    for _ in range(3):
        assert len(samples(metrics)) == 1
    assert caplog.text.count("Redis is away") == 1
    broken[0] = False
    assert len(samples(metrics)) == 2


def test_two_processes_parts_do_not_share_a_registry():
    one, other = Metrics(), Metrics()
    one.count(contract.TASKS_SUBMITTED, agent="a", queue="q")
    assert samples(other) == {}


def test_the_contract_names_each_metric_once_in_prometheus_style():
    names = [metric.name for metric in contract.METRICS]
    assert len(set(names)) == len(names)
    for metric in contract.METRICS:
        assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER), metric
        assert bool(metric.buckets) == (metric.kind is MetricKind.HISTOGRAM), metric
        assert isinstance(metric, Metric)
        assert metric.help.endswith(".")


def test_a_source_with_wrong_labels_does_not_cost_the_others():
    metrics = Metrics()
    metrics.count(contract.TASKS_SUBMITTED, agent="a", queue="q")
    metrics.add_collector(lambda: [Sample(contract.WORKER_MEMORY, 1, {"unheard": "of"})])
    assert len(samples(metrics)) == 1


def test_threads_that_use_a_metric_first_at_the_same_time_share_its_family(monkeypatch):
    metrics, both_inside, errors = Metrics(), threading.Barrier(2), []
    check = metrics_module._check_labels

    def check_together(metric, labels):
        check(metric, labels)
        both_inside.wait(5)

    monkeypatch.setattr(metrics_module, "_check_labels", check_together)
    monkeypatch.setattr(metrics_module, "_KINDS", {MetricKind.COUNTER: slow_counter})

    def count(agent):
        try:
            metrics.count(contract.TASKS_SUBMITTED, agent=agent, queue="q")
        except ValueError as error:
            errors.append(error)

    threads = [threading.Thread(target=count, args=(agent,)) for agent in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(samples(metrics)) == 2


def slow_counter(*args, **kwargs):
    """A counter whose making lets another thread run."""
    threading.Event().wait(0.05)
    return Counter(*args, **kwargs)
