"""The metrics of the contract, for one process."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from agent_service.telemetry.contract import EXEMPLAR_TRACE_ID, Metric, MetricKind

logger = logging.getLogger(__name__)

_KINDS: Mapping[MetricKind, type[Counter | Gauge | Histogram]] = {
    MetricKind.COUNTER: Counter,
    MetricKind.GAUGE: Gauge,
    MetricKind.HISTOGRAM: Histogram,
}


class Counters(Protocol):
    """Something that counts: this process's metrics, or a way to those of another."""

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Add `amount` to a counter."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value that is computed when Prometheus asks."""

    metric: Metric
    value: float
    labels: Mapping[str, str]


class Metrics:
    """A registry of its own, with a family for each metric of the contract that is used."""

    def __init__(self) -> None:
        disable_created_metrics()
        self._registry = CollectorRegistry()
        self._families: dict[str, Any] = {}
        # Finding a label's child by name costs more than the count itself.
        self._children: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = {}
        self._lock = threading.Lock()

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Add `amount` to a counter.

        Raises:
            ValueError: The labels are not the metric's.
        """
        self._child(metric, labels).inc(amount)

    def observe(self, metric: Metric, value: float, *, trace_id: str | None = None, **labels: str) -> None:
        """Put a value, in the metric's unit, into a histogram.

        Args:
            metric: The histogram.
            value: The value.
            trace_id: The trace to open from it, 32 hexadecimal digits.
            labels: The metric's labels.

        Raises:
            ValueError: The labels are not the metric's.
        """
        exemplar = {EXEMPLAR_TRACE_ID: trace_id} if trace_id and metric.exemplar else None
        self._child(metric, labels).observe(value, exemplar)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge.

        Raises:
            ValueError: The labels are not the metric's.
        """
        self._child(metric, labels).set(value)

    def show(self, metric: Metric, **labels: str) -> None:
        """Show a metric from now on, though nothing has happened yet: at 0, or as a histogram without observations.

        Raises:
            ValueError: The labels are not the metric's.
        """
        self._child(metric, labels)

    def add_collector(self, collect: Callable[[], Iterable[Sample]]) -> None:
        """Ask `collect` for samples at each scrape; while it raises, its families are left out."""
        self._registry.register(_Computed(collect))

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics and their content type: OpenMetrics, with exemplars, where `accept` asks for it."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # what it makes of a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type

    def _child(self, metric: Metric, labels: dict[str, str]) -> Any:
        key = (metric.name, tuple(labels.items()))
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._make_child(metric, labels)
        return child

    def _make_child(self, metric: Metric, labels: dict[str, str]) -> Any:
        _check_labels(metric, labels)
        with self._lock:  # a family that two threads make at once is a duplicate to the registry
            family = self._families.get(metric.name)
            if family is None:
                buckets = {"buckets": metric.buckets} if metric.kind is MetricKind.HISTOGRAM else {}
                family = self._families[metric.name] = _KINDS[metric.kind](
                    metric.name,
                    metric.help,
                    metric.labels,
                    registry=self._registry,
                    **buckets,  # type: ignore[arg-type]
                )
        return family.labels(**labels) if metric.labels else family


class _Computed(Collector):
    """Turns samples into families, and a source that fails into a warning, once per outage."""

    def __init__(self, collect: Callable[[], Iterable[Sample]]) -> None:
        self._collect = collect
        self._failing = False

    def describe(self) -> Iterable[Family]:
        """Name nothing ahead, so that registering asks nothing of Redis."""
        return []

    def collect(self) -> Iterator[Family]:
        """Yield the families of one scrape."""
        by_metric: defaultdict[Metric, list[Sample]] = defaultdict(list)
        try:
            for sample in self._collect():
                _check_labels(sample.metric, sample.labels)
                by_metric[sample.metric].append(sample)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other metrics must still be read
            if not self._failing:
                logger.warning("some metrics are missing from the scrape: %s", error)
            self._failing = True
            return
        self._failing = False
        for metric, group in by_metric.items():
            kind = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=metric.labels)
            for sample in group:
                family.add_metric([sample.labels[label] for label in metric.labels], sample.value)
            yield family


def _check_labels(metric: Metric, labels: Mapping[str, str]) -> None:
    if labels.keys() != set(metric.labels):
        raise ValueError(f"{metric.name} has the labels {sorted(metric.labels)}, got {sorted(labels)}")
