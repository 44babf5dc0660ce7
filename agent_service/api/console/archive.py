"""What Jaeger and Elasticsearch still know of a task when its journal is over, where the settings say how to ask them.

They are asked over their HTTP APIs, seldom and not for long: a page never fails because one of them is away.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

from agent_service.settings import Settings
from agent_service.tasks.models import SpanRecord
from agent_service.telemetry.contract import LOG_DATA_STREAM, Field

logger = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 3.0
KEPT_SECONDS: Final = 15.0
"""For how long an answer is given again; a page asks anew twice a second."""
ANSWERS_KEPT: Final = 64
LINES_ASKED: Final = 500
_MICROSECONDS: Final = 1_000_000
_AWAY: Final = (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, IndexError, AttributeError)


class Archive:
    """Asks for spans and log lines."""

    def __init__(self, settings: Settings) -> None:
        """Take where Jaeger and Elasticsearch are; one that is not named is not asked."""
        self._jaeger = settings.jaeger_api_url
        self._elasticsearch = settings.elasticsearch_api_url
        # A proxy for the outside world knows nothing of a server beside this one.
        self._client = httpx.Client(timeout=ANSWER_SECONDS, trust_env=False)
        self._kept: dict[str, tuple[float, list[Any]]] = {}
        self._lock = threading.Lock()

    def spans(self, trace_id: str) -> list[SpanRecord]:
        """Return the spans of a trace by start; none where Jaeger is not named, away, or knows of none."""
        base = self._jaeger
        if base is None:
            return []
        return self._once(f"trace {trace_id}", lambda: self._ask_jaeger(f"{base.rstrip('/')}/api/traces/{trace_id}"))

    def log_lines(self, task_id: str) -> list[dict[str, Any]]:
        """Return the log lines of a task, oldest first; none where Elasticsearch is not named, away, or has none."""
        if self._elasticsearch is None:
            return []
        url = f"{self._elasticsearch.get_secret_value().rstrip('/')}/{LOG_DATA_STREAM}/_search"
        return self._once(f"lines {task_id}", lambda: self._ask_elasticsearch(url, task_id))

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def _once(self, what: str, ask: Callable[[], list[Any]]) -> list[Any]:
        with self._lock:
            kept = self._kept.get(what)
        if kept and time.monotonic() - kept[0] < KEPT_SECONDS:
            return kept[1]
        try:
            answer = ask()
        except _AWAY as error:
            logger.warning("the console cannot ask for %s: %s", what, type(error).__name__)
            answer = []
        with self._lock:
            self._kept[what] = (time.monotonic(), answer)
            while len(self._kept) > ANSWERS_KEPT:
                self._kept.pop(next(iter(self._kept)))
        return answer

    def _ask_jaeger(self, url: str) -> list[SpanRecord]:
        response = self._client.get(url)
        if response.status_code == httpx.codes.NOT_FOUND:
            return []
        trace = response.raise_for_status().json()["data"][0]
        processes = {name: process["serviceName"] for name, process in trace["processes"].items()}
        spans = [_span(raw, processes[raw["processID"]]) for raw in trace["spans"]]
        return sorted(spans, key=lambda span: span.start)

    def _ask_elasticsearch(self, url: str, task_id: str) -> list[dict[str, Any]]:
        question = {
            "size": LINES_ASKED,
            "query": {"term": {Field.TASK_ID: task_id}},
            "sort": [{Field.TIMESTAMP: "desc"}],
        }
        hits = self._client.post(url, json=question).raise_for_status().json()["hits"]["hits"]
        return [hit["_source"] for hit in reversed(hits)]


def _span(raw: Mapping[str, Any], service: str) -> SpanRecord:
    """Return a span as the journal would have kept it.

    Source: https://www.jaegertracing.io/docs/latest/architecture/apis/ (the JSON of Jaeger's own page)
    """
    tags = {tag["key"]: tag["value"] for tag in raw.get("tags", ())}
    own = [ref for ref in raw.get("references", ()) if ref["traceID"] == raw["traceID"]]
    start = raw["startTime"] / _MICROSECONDS
    return SpanRecord(
        trace_id=raw["traceID"],
        span_id=raw["spanID"],
        parent_id=next((ref["spanID"] for ref in own if ref["refType"] == "CHILD_OF"), None),
        name=raw["operationName"],
        service=service,
        kind=str(tags.get("span.kind", "internal")),
        start=start,
        end=start + raw["duration"] / _MICROSECONDS,
        status="error" if tags.get("otel.status_code") == "ERROR" or tags.get("error") in {True, "true"} else "unset",
        attributes=tags,
        links=[ref["spanID"] for ref in own if ref["refType"] == "FOLLOWS_FROM"],
    )
