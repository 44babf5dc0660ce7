"""Reads the service's metrics before and after, and tells what moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from agent_service.embedded.addresses import metrics_url
from agent_service.settings import Settings
from agent_service.telemetry.contract import METRICS, MetricKind

SCRAPE_SECONDS = 5.0

Labels = tuple[tuple[str, str], ...]
Samples = Mapping[tuple[str, Labels], float]
"""Values by sample name and labels, summed over all processes."""

COUNTERS = frozenset(metric.name for metric in METRICS if metric.kind is MetricKind.COUNTER)
HISTOGRAMS = frozenset(metric.name for metric in METRICS if metric.kind is MetricKind.HISTOGRAM)


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one series between two readings.

    Attributes:
        growth: Of a counter, in its own unit; of a histogram, the observations.
        average: Of a histogram's new observations, in its own unit.
    """

    name: str
    labels: Labels
    growth: float
    average: float | None = None


def scrape(settings: Settings) -> Samples:
    """Return the samples of the API and of every worker that it knows; empty where the internal port is not reached."""
    totals: Counter[tuple[str, Labels]] = Counter()
    with httpx.Client(timeout=SCRAPE_SECONDS, trust_env=False) as client:
        for url in _targets(client, metrics_url(settings)):
            try:
                text = client.get(url).raise_for_status().text
            except httpx.HTTPError:
                continue  # a worker that has just gone
            totals.update(parse(text))
    return totals


def parse(exposition: str) -> dict[tuple[str, Labels], float]:
    """Return the samples of the contract's counters and histograms, without the buckets."""
    wanted = COUNTERS | {f"{name}{part}" for name in HISTOGRAMS for part in ("_sum", "_count")}
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name in wanted
    }


def changes(before: Samples, after: Samples) -> list[Change]:
    """Return what grew, by name and labels."""
    return sorted(_changes(before, after), key=lambda change: (change.name, change.labels))


def _changes(before: Samples, after: Samples) -> Iterable[Change]:
    for (name, labels), value in after.items():
        growth = value - before.get((name, labels), 0.0)
        if growth <= 0:
            continue
        if name in COUNTERS:
            yield Change(name, labels, growth)
        elif name.endswith("_count"):
            total = (f"{name.removesuffix('_count')}_sum", labels)
            yield Change(name.removesuffix("_count"), labels, growth, (after[total] - before.get(total, 0.0)) / growth)


def _targets(client: httpx.Client, internal: str) -> list[str]:
    try:
        groups = client.get(f"{internal}/sd/workers").raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return []
    return [f"{internal}/metrics", *(f"http://{target}/metrics" for group in groups for target in group["targets"])]
