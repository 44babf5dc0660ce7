"""The HTTP interface: how much it is asked, how it answers, and how fast."""

from __future__ import annotations

from agent_service.telemetry.contract import Field, ServiceName
from grafana.source import addresses
from grafana.source.board import Board, Section, label_variable
from grafana.source.boards.expressions import quantile
from grafana.source.limits import limits, none_is_left
from grafana.source.panels import (
    HALF,
    PER_SECOND,
    RATIO,
    SECONDS,
    THIRD,
    Column,
    Link,
    heat,
    log_panel,
    number,
    series,
    sheet,
    trace_table,
)
from grafana.source.queries import buckets, lines, log_lines, now, traces

_HISTOGRAM = "http_server_request_duration_seconds"
_ROUTE = 'http_route=~"$http_route", http_route!~"/healthz|/readyz"'
"""Without the health checks, which ask every few seconds and may well be answered with 503; the alerts do likewise."""


def _share(codes: str, window: str, by: str = "") -> str:
    """Return the share of answers with certain status codes; 0 where there are only others."""
    grouped = f"sum by ({by})" if by else "sum"
    every = f"{grouped} (rate({_HISTOGRAM}_count{{{_ROUTE}}}[{window}]))"
    some = f'{grouped} (rate({_HISTOGRAM}_count{{{_ROUTE}, http_response_status_code=~"{codes}"}}[{window}]))'
    return f"({some} or 0 * {every}) / ({every} > 0)"


_FINE = Section(
    "Is it fine?",
    [
        number(
            "Requests per second",
            "Is it asked at all?",
            now(f"sum(rate({_HISTOGRAM}_count{{{_ROUTE}}}[5m]))"),
            unit=PER_SECOND,
        ),
        number(
            "Answered with a fault of its own",
            "Which share of the last five minutes' requests ended with a status of 500 or more?",
            now(_share("5..", "5m")),
            unit=RATIO,
            limits=limits("ApiErrorRatioHigh"),
            alerts=["ApiErrorRatioHigh"],
        ),
        number(
            "Refused",
            "Which share was wrong, not allowed, or one too many (status 400 to 499)?",
            now(_share("4..", "5m")),
            unit=RATIO,
        ),
        number(
            "Answer time, 95th percentile",
            "How long do all but the slowest requests take?",
            now(quantile(0.95, _HISTOGRAM, f'{_ROUTE}, http_route!~".*/events"', window="5m")),
            unit=SECONDS,
            limits=limits("ApiLatencyHigh"),
            alerts=["ApiLatencyHigh"],
        ),
        number(
            "Answer time of submissions, 95th percentile",
            "How long until a task is accepted?",
            now(
                quantile(0.95, _HISTOGRAM, 'http_request_method="POST", http_route="/tasks"', window="5m"),
            ),
            unit=SECONDS,
            limits=limits("ApiLatencyHigh"),
            alerts=["ApiLatencyHigh"],
        ),
        number(
            "Replicas",
            "How many of it are there?",
            now(f'count(up{{job="{ServiceName.API}"}} == 1) or vector(0)'),
            limits=none_is_left("ApiDown"),
            alerts=["ApiDown"],
        ),
    ],
)

_TRAFFIC = Section(
    "Requests",
    [
        series(
            "Requests by route",
            "What is it asked for?",
            lines(
                f"sum by (http_request_method, http_route) (rate({_HISTOGRAM}_count{{{_ROUTE}}}[$__rate_interval]))",
                "{{http_request_method}} {{http_route}}",
            ),
            unit=PER_SECOND,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Requests by status",
            "How does it answer?",
            lines(
                f"sum by (http_response_status_code) (rate({_HISTOGRAM}_count{{{_ROUTE}}}[$__rate_interval]))",
                "{{http_response_status_code}}",
            ),
            unit=PER_SECOND,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Faults and refusals",
            "Since when does it answer with errors?",
            lines(_share("5..", "5m"), "its own faults (5xx)"),
            lines(_share("4..", "5m"), "refused (4xx)"),
            unit=RATIO,
            limits=limits("ApiErrorRatioHigh"),
            alerts=["ApiErrorRatioHigh"],
            width=THIRD,
        ),
        series(
            "Answer time",
            "How long does it take, usually and at worst? A dot is one request, and leads to its trace.",
            lines(quantile(0.5, _HISTOGRAM, _ROUTE), "p50"),
            lines(quantile(0.95, _HISTOGRAM, _ROUTE), "p95", exemplars=True),
            lines(quantile(0.99, _HISTOGRAM, _ROUTE), "p99"),
            unit=SECONDS,
            width=THIRD,
        ),
        heat(
            "Answer time, all requests",
            "Are there two kinds of requests, fast ones and slow ones?",
            buckets(f"sum by (le) (increase({_HISTOGRAM}_bucket{{{_ROUTE}}}[$__rate_interval]))"),
            width=THIRD,
        ),
        series(
            "Answer time by route, 95th percentile",
            "Which route got slower?",
            lines(
                quantile(0.95, _HISTOGRAM, _ROUTE, "http_request_method, http_route"),
                "{{http_request_method}} {{http_route}}",
            ),
            unit=SECONDS,
            limits=limits("ApiLatencyHigh"),
            alerts=["ApiLatencyHigh"],
            width=THIRD,
        ),
        sheet(
            "Routes",
            "Which route is busy, slow or failing?",
            {"http_request_method": "Method", "http_route": "Route"},
            Column(
                "Requests/s",
                f"sum by (http_request_method, http_route) (rate({_HISTOGRAM}_count{{{_ROUTE}}}[$__range]))",
                PER_SECOND,
                decimals=3,
            ),
            Column(
                "Own faults",
                _share("5..", "$__range", "http_request_method, http_route"),
                RATIO,
                limits("ApiErrorRatioHigh"),
            ),
            Column("Refused", _share("4..", "$__range", "http_request_method, http_route"), RATIO),
            Column("p50", quantile(0.5, _HISTOGRAM, _ROUTE, "http_request_method, http_route", "$__range"), SECONDS),
            Column(
                "p95",
                quantile(0.95, _HISTOGRAM, _ROUTE, "http_request_method, http_route", "$__range"),
                SECONDS,
                limits("ApiLatencyHigh"),
            ),
        ),
    ],
)

_BEHIND = Section(
    "Behind the numbers",
    [
        trace_table(
            "Slow submissions",
            "What did the slowest requests spend their time on?",
            traces(ServiceName.API, "POST /tasks"),
            width=HALF,
        ),
        log_panel(
            "Warnings and errors of the API",
            "What did it refuse, and what did it fail at?",
            log_lines(f"{Field.SERVICE_NAME}:{ServiceName.API} AND {Field.LOG_LEVEL}:(warning OR error OR critical)"),
            links=[Link("Logs", addresses.dashboard("logs"))],
            width=HALF,
            height=8,
        ),
    ],
)

BOARD = Board(
    uid="api",
    title="API",
    description="The HTTP interface: how much it is asked, how it answers, and how fast.",
    sections=(_FINE, _TRAFFIC, _BEHIND),
    variables=(label_variable("http_route", "Route", "http_server_request_duration_seconds_count"),),
)
