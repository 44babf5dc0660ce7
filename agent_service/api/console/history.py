"""The points of a stretch of time: those of this process, and before its time those of Prometheus, if there is one."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import httpx

from agent_service.api.console.monitor import FAILED
from agent_service.api.console.points import Point, Ring
from agent_service.telemetry import contract
from agent_service.telemetry.contract import Outcome, QueueState

logger = logging.getLogger(__name__)

SHOWN_SECONDS: Final = 15 * 60.0
ANSWER_SECONDS: Final = 3.0
KEPT_SECONDS: Final = 30.0
"""For how long an answer of Prometheus is given again, whoever asks."""
AWAY_SECONDS: Final = 30.0
POINTS_ASKED: Final = 120
LEAST_STEP_SECONDS: Final = 5.0
_WINDOW: Final = "1m"
_NO_REAL_DEVICE: Final = 'device!~"lo|veth.*|br-.*|docker.*"'


def _rate(metric: str, labels: str = "") -> str:
    return f"sum(rate({metric}{{{labels}}}[{_WINDOW}]))"


def _mean(metric: str) -> str:
    return f"{_rate(f'{metric}_sum')} / {_rate(f'{metric}_count')}"


def _queue(state: QueueState) -> str:
    # Every replica of the API tells of all queues.
    return f'sum(max by (queue) ({contract.QUEUE_TASKS.name}{{state="{state}"}}))'


QUERIES: Final[Mapping[str, str]] = {
    "done": _rate(contract.TASKS.name, f'outcome="{Outcome.SUCCESS}"'),
    "failed": _rate(contract.TASKS.name, f'outcome=~"{"|".join(FAILED)}"'),
    "retried": _rate(contract.TASKS.name, f'outcome="{Outcome.RETRY}"'),
    "queued": _queue(QueueState.QUEUED),
    "running": _queue(QueueState.STARTED),
    "oldest": f"max({contract.QUEUE_OLDEST_TASK.name})",
    "wait": _mean(contract.TASK_WAIT.name),
    "run": _mean(contract.TASK_DURATION.name),
    "cpu": f'1 - avg(rate(node_cpu_seconds_total{{mode="idle"}}[{_WINDOW}]))',
    "memory": "1 - sum(node_memory_MemAvailable_bytes) / sum(node_memory_MemTotal_bytes)",
    "disk_read": _rate("node_disk_read_bytes_total"),
    "disk_write": _rate("node_disk_written_bytes_total"),
    "net_in": _rate("node_network_receive_bytes_total", _NO_REAL_DEVICE),
    "net_out": _rate("node_network_transmit_bytes_total", _NO_REAL_DEVICE),
    "busy": f'sum(max by (queue) ({contract.WORKERS.name}{{state="busy"}}))',
    "workers": f"sum(max by (queue, state) ({contract.WORKERS.name}))",
}
"""What Prometheus is asked for each value of a point."""


class History:
    """Gives points, from the ring where it has them."""

    def __init__(self, ring: Ring, prometheus_url: str | None) -> None:
        """Take the ring of this process, and where Prometheus is, if there is one."""
        self._ring = ring
        self._prometheus = _Prometheus(prometheus_url) if prometheus_url else None

    def between(self, begin: float, end: float) -> list[Point]:
        """Return the points of a stretch of time, oldest first.

        Args:
            begin: Unix time in seconds.
            end: Likewise.
        """
        own = [point for point in self._ring.since(begin) if point.at <= end]
        ring_begins = self._ring.begin() or time.time()
        if self._prometheus is None or begin >= ring_begins - LEAST_STEP_SECONDS:
            return own
        return [*self._prometheus.points(begin, min(end, ring_begins)), *own]

    def since(self, moment: float) -> list[Point]:
        """Return the points of this process after a moment."""
        return self._ring.since(moment)

    def close(self) -> None:
        """Let the connection to Prometheus go."""
        if self._prometheus:
            self._prometheus.close()


class _Prometheus:
    """Asks Prometheus over its HTTP API, not more often than an answer grows old.

    Source: https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/query_range"
        # A proxy for the outside world knows nothing of a server beside this one.
        self._client = httpx.Client(timeout=ANSWER_SECONDS, trust_env=False)
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, int], tuple[float, list[Point]]] = {}
        self._away_until = 0.0

    def points(self, begin: float, end: float) -> list[Point]:
        """Return the points of a stretch of time; none while Prometheus is away."""
        key = (int(begin // KEPT_SECONDS), int(end // KEPT_SECONDS))
        with self._lock:
            now = time.monotonic()
            self._kept = {k: kept for k, kept in self._kept.items() if now - kept[0] < KEPT_SECONDS}
            if key not in self._kept:
                self._kept[key] = (now, self._ask_if_there(begin, end))
            return self._kept[key][1]

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()

    def _ask_if_there(self, begin: float, end: float) -> list[Point]:
        if time.monotonic() < self._away_until or end <= begin:
            return []
        try:
            return self._ask(begin, end)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, IndexError) as error:
            logger.warning("the console's charts lack what Prometheus knows: %s", error)
            self._away_until = time.monotonic() + AWAY_SECONDS
            return []

    def _ask(self, begin: float, end: float) -> list[Point]:
        step = max(LEAST_STEP_SECONDS, (end - begin) / POINTS_ASKED)
        values: dict[float, dict[str, float]] = {}
        for name, query in QUERIES.items():
            for at, value in self._series(query, begin, end, step):
                values.setdefault(at, {})[name] = value
        return [Point(at, **values[at]) for at in sorted(values)]

    def _series(self, query: str, begin: float, end: float, step: float) -> list[tuple[float, float]]:
        parameters = {"query": query, "start": f"{begin:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        answer: Any = self._client.get(self._url, params=parameters).raise_for_status().json()
        found = [(float(at), float(value)) for series in answer["data"]["result"][:1] for at, value in series["values"]]
        return [(at, value) for at, value in found if math.isfinite(value)]
