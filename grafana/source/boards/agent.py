"""One agent: everything about it, down to its log lines and traces."""

from __future__ import annotations

from agent_service.telemetry.contract import Field, ServiceName, invoke_agent_span
from grafana.source import addresses
from grafana.source.board import Board, Section, label_variable, text_variable
from grafana.source.boards.expressions import failing, quantile
from grafana.source.limits import limits
from grafana.source.panels import (
    BYTES,
    BYTES_PER_SECOND,
    CORES,
    HALF,
    PER_SECOND,
    QUARTER,
    RATIO,
    SECONDS,
    THIRD,
    Link,
    heat,
    log_panel,
    log_table,
    number,
    series,
    trace_table,
)
from grafana.source.queries import buckets, lines, log_lines, log_rows, now, traces

_AGENT = 'agent="$agent"'
_LINES = f'{Field.AGENT_NAME}:"$agent" AND {Field.TASK_ID}:$task'
_KIBANA = (
    f"{addresses.KIBANA}/app/discover#/view/agents-all?{addresses.KIBANA_TIME}"
    f"&_a=(query:(language:kuery,query:'{Field.AGENT_NAME}:%22$agent%22'))"
)

_FINE = Section(
    "Is it fine?",
    [
        number(
            "Runs per second",
            "Does it work at all?",
            now(f"sum(rate(agent_tasks_total{{{_AGENT}}}[5m]))"),
            unit=PER_SECOND,
        ),
        number(
            "Tasks that fail",
            "Which share of the last ten minutes' tasks failed, timed out or crashed?",
            now(failing(_AGENT)),
            unit=RATIO,
            limits=limits("AgentFailureRatioHigh"),
            alerts=["AgentFailureRatioHigh", "AgentFailuresMany"],
        ),
        number(
            "Run time, 95th percentile",
            "How long do all but its slowest runs take?",
            now(quantile(0.95, "agent_task_duration_seconds", _AGENT, window="5m")),
            unit=SECONDS,
            limits=limits("AgentSlow"),
            alerts=["AgentSlow"],
        ),
        number(
            "Wait, 95th percentile",
            "How long do all but its unluckiest tasks wait?",
            now(quantile(0.95, "agent_task_wait_seconds", _AGENT, window="5m")),
            unit=SECONDS,
        ),
        number(
            "Running now",
            "How many of its tasks run?",
            now(f"sum(agent_tasks_in_progress{{{_AGENT}}}) or vector(0)"),
        ),
        number(
            "Oldest run",
            "Does one of them hang?",
            now(f"max(agent_oldest_running_task_seconds{{{_AGENT}}}) or vector(0)"),
            unit=SECONDS,
            limits=limits("AgentTaskRunningLong"),
            alerts=["AgentTaskRunningLong"],
        ),
    ],
)

_WORK = Section(
    "Runs",
    [
        series(
            "Runs by outcome",
            "How much does it do, and how does it end?",
            lines(f"sum by (outcome) (rate(agent_tasks_total{{{_AGENT}}}[$__rate_interval]))", "{{outcome}}"),
            unit=PER_SECOND,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Run time",
            "How long does it take, usually and at worst? A dot is one run, and leads to its trace.",
            lines(quantile(0.5, "agent_task_duration_seconds", _AGENT), "p50"),
            lines(quantile(0.95, "agent_task_duration_seconds", _AGENT), "p95", exemplars=True),
            lines(quantile(0.99, "agent_task_duration_seconds", _AGENT), "p99"),
            unit=SECONDS,
            width=THIRD,
        ),
        heat(
            "Run time, all runs",
            "Are there two kinds of runs, fast ones and slow ones?",
            buckets(f"sum by (le) (increase(agent_task_duration_seconds_bucket{{{_AGENT}}}[$__rate_interval]))"),
            width=THIRD,
        ),
        series(
            "Wait",
            "How long do its tasks wait for a worker?",
            lines(quantile(0.5, "agent_task_wait_seconds", _AGENT), "p50"),
            lines(quantile(0.95, "agent_task_wait_seconds", _AGENT), "p95", exemplars=True),
            unit=SECONDS,
            width=THIRD,
        ),
        series(
            "From submission to end",
            "How long does somebody wait who gave it work?",
            lines(quantile(0.5, "agent_task_end_to_end_seconds", _AGENT), "p50"),
            lines(quantile(0.95, "agent_task_end_to_end_seconds", _AGENT), "p95", exemplars=True),
            unit=SECONDS,
            width=THIRD,
        ),
        series(
            "Errors by type",
            "What goes wrong?",
            lines(
                f"sum by (error_type) (rate(agent_errors_total{{{_AGENT}}}[$__rate_interval]))",
                "{{error_type}}",
            ),
            unit=PER_SECOND,
            alerts=["AgentCrashing", "AgentTimeouts"],
            stacked=True,
            width=THIRD,
        ),
    ],
)

_RESOURCES = Section(
    "Resources",
    [
        series(
            "CPU",
            "How much of the processors does it use? 1 is one core.",
            lines(f"sum(rate(agent_cpu_seconds_total{{{_AGENT}}}[$__rate_interval]))", "cores"),
            unit=CORES,
            width=QUARTER,
        ),
        series(
            "CPU share of a run",
            "Does it compute or wait? At 1 it computes all the time.",
            lines(
                f"sum(rate(agent_cpu_seconds_total{{{_AGENT}}}[5m]))"
                f" / (sum(rate(agent_task_duration_seconds_sum{{{_AGENT}}}[5m])) > 0)",
                "share",
            ),
            unit=RATIO,
            width=QUARTER,
        ),
        series(
            "Peak memory of a run",
            "How much memory does it need, and does that grow?",
            lines(f"max(agent_memory_bytes{{{_AGENT}}})", "peak"),
            unit=BYTES,
            limits=limits("AgentMemoryHigh"),
            alerts=["AgentMemoryHigh"],
            width=QUARTER,
        ),
        series(
            "Disk",
            "How much does it read and write?",
            lines(f"sum by (direction) (rate(agent_io_bytes_total{{{_AGENT}}}[$__rate_interval]))", "{{direction}}"),
            unit=BYTES_PER_SECOND,
            width=QUARTER,
        ),
    ],
)

_BEHIND = Section(
    "Behind the numbers",
    [
        trace_table(
            "Traces",
            "What did single runs do, step by step?",
            traces(ServiceName.WORKER, invoke_agent_span("$agent")),
            width=HALF,
        ),
        log_table(
            "Errors in the logs",
            "Which errors, how often in this time?",
            log_rows(f"{_LINES} AND {Field.ERROR_TYPE}:*", Field.ERROR_TYPE),
            {Field.ERROR_TYPE.value: "Error", "Count": "Lines"},
            width=HALF,
        ),
        log_panel(
            "Log lines",
            "What did it say? Put a task's id into Task to see that one's only.",
            log_lines(_LINES),
            links=[Link("In Kibana", _KIBANA)],
        ),
    ],
)

BOARD = Board(
    uid="agent",
    title="One agent",
    description="Everything about one agent, down to its log lines and traces.",
    sections=(_FINE, _WORK, _RESOURCES, _BEHIND),
    variables=(
        label_variable("agent", "Agent", "agent_tasks_total", several=False),
        text_variable("task", "Task"),
    ),
)
