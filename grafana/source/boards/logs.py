"""What the service says: how much, how bad, and word for word."""

from __future__ import annotations

from agent_service.telemetry.contract import Field
from grafana.source import addresses
from grafana.source.board import Board, Section, field_variable, filter_variable, text_variable
from grafana.source.limits import limits
from grafana.source.panels import (
    BYTES,
    HALF,
    PER_SECOND,
    THIRD,
    Link,
    log_panel,
    log_table,
    number,
    series,
)
from grafana.source.queries import SELDOM, lines, log_counts, log_lines, log_rows, now

_LINES = f"{Field.LOG_LEVEL}:$level AND {Field.SERVICE_NAME}:$service AND {Field.MESSAGE}:($search)"
_ERRORS = f"{_LINES} AND {Field.LOG_LEVEL}:(error OR critical)"
_PAGE = Link("This agent's page", addresses.dashboard("agent", agent="${__value.raw}"))
_KIBANA = f"{addresses.KIBANA}/app/discover#/view"


_FINE = Section(
    "Is it fine?",
    [
        series(
            "Errors",
            "Does the service tell of errors, and since when?",
            log_counts(f"{Field.LOG_LEVEL}:(error OR critical)", alias="errors"),
            bars=True,
            links=[Link("In Kibana", f"{_KIBANA}/agents-errors?{addresses.KIBANA_TIME}")],
            width=THIRD,
            height=4,
        ),
        series(
            "Warnings",
            "Does it tell of what may become an error?",
            log_counts(f"{Field.LOG_LEVEL}:warning", alias="warnings"),
            bars=True,
            width=THIRD,
            height=4,
        ),
        number(
            "Lines delivered",
            "Do log lines arrive at all?",
            now("sum(rate(logstash_events_out_total[5m]))"),
            unit=PER_SECOND,
            alerts=["LogstashNoEvents", "LogstashDown"],
        ),
        number(
            "Rejected",
            "Were lines refused, and are they kept to be looked at?",
            now("max(logstash_pipeline_dead_letter_bytes)"),
            unit=BYTES,
            links=[Link("Rejected lines in Kibana", f"{_KIBANA}/agents-rejected?{addresses.KIBANA_TIME}")],
            limits=limits("LogstashDeadLettersGrowing"),
            alerts=["LogstashDeadLettersGrowing"],
        ),
    ],
)

_VOLUME = Section(
    "How much",
    [
        series(
            "Lines by level",
            "How much is said, and how bad is it?",
            log_counts(_LINES, Field.LOG_LEVEL),
            bars=True,
            stacked=True,
            width=HALF,
        ),
        series(
            "Lines by agent",
            "Who says how much?",
            log_counts(_LINES, Field.AGENT_NAME),
            bars=True,
            stacked=True,
            width=HALF,
        ),
        log_table(
            "Top errors",
            "Which errors are the most frequent?",
            log_rows(f"{_LINES} AND {Field.ERROR_TYPE}:*", Field.ERROR_TYPE, Field.AGENT_NAME),
            {Field.ERROR_TYPE.value: "Error", Field.AGENT_NAME.value: "Agent", "Count": "Lines"},
            cell_links={"Agent": _PAGE},
            width=THIRD,
        ),
        log_table(
            "Errors by agent",
            "Who has the most trouble?",
            log_rows(_ERRORS, Field.AGENT_NAME),
            {Field.AGENT_NAME.value: "Agent", "Count": "Lines"},
            cell_links={"Agent": _PAGE},
            width=THIRD,
        ),
        log_table(
            "Who writes",
            "Which part of the service, on which machine, says most?",
            log_rows(_LINES, Field.LOG_LOGGER, Field.HOST_NAME),
            {Field.LOG_LOGGER.value: "Logger", Field.HOST_NAME.value: "Host", "Count": "Lines"},
            width=THIRD,
        ),
        series(
            "Lines read and delivered",
            "Does Logstash keep up?",
            lines("sum(rate(logstash_events_in_total[$__rate_interval]))", "read", scraped=SELDOM),
            lines("sum(rate(logstash_events_out_total[$__rate_interval]))", "delivered", scraped=SELDOM),
            unit=PER_SECOND,
            width=HALF,
        ),
        series(
            "Lines that wait on disk",
            "Does Elasticsearch keep up?",
            lines("max(logstash_pipeline_queue_bytes)", "waiting"),
            unit=BYTES,
            limits=limits("LogstashQueueBackingUp"),
            alerts=["LogstashQueueBackingUp"],
            width=HALF,
        ),
    ],
)

_TAIL = Section(
    "Word for word",
    [
        log_panel(
            "Live tail",
            "What is said right now? A line's trace_id leads to its trace.",
            log_lines(_LINES, 500),
            links=[Link("In Kibana", f"{_KIBANA}/agents-all?{addresses.KIBANA_TIME}")],
            height=18,
        )
    ],
)

BOARD = Board(
    uid="logs",
    title="Logs",
    description="What the service says: how much, how bad, and word for word.",
    sections=(_FINE, _VOLUME, _TAIL),
    variables=(
        field_variable("level", "Level", Field.LOG_LEVEL),
        field_variable("service", "Service", Field.SERVICE_NAME),
        text_variable("search", "Words"),
        filter_variable("filter", "Filter"),
    ),
)
