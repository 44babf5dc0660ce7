"""All agents side by side: how much they do, how fast, how well, and with what."""

from __future__ import annotations

from grafana.source import addresses
from grafana.source.board import Board, Section, label_variable
from grafana.source.boards.expressions import failing, quantile
from grafana.source.limits import limits
from grafana.source.panels import (
    BYTES,
    BYTES_PER_SECOND,
    CORES,
    FULL,
    PER_SECOND,
    RATIO,
    SECONDS,
    THIRD,
    Column,
    Link,
    number,
    series,
    sheet,
)
from grafana.source.queries import lines, now

_AGENT = 'agent=~"$agent"'

_FINE = Section(
    "Is it fine?",
    [
        number(
            "Runs per second",
            "Do the agents work at all?",
            now(f"sum(rate(agent_tasks_total{{{_AGENT}}}[5m]))"),
            unit=PER_SECOND,
        ),
        number(
            "Worst agent",
            "Which share of the last ten minutes' tasks of the agent that is worst off failed, timed out or crashed?",
            now(f"max({failing(_AGENT)})"),
            unit=RATIO,
            limits=limits("AgentFailureRatioHigh"),
            alerts=["AgentFailureRatioHigh"],
        ),
        number(
            "Run time, 95th percentile",
            "How long do all but the slowest runs take?",
            now(quantile(0.95, "agent_task_duration_seconds", _AGENT, window="5m")),
            unit=SECONDS,
            limits=limits("AgentSlow"),
            alerts=["AgentSlow"],
        ),
        number(
            "Running now",
            "How much is being worked on?",
            now(f"sum(agent_tasks_in_progress{{{_AGENT}}}) or vector(0)"),
        ),
        number(
            "Oldest run",
            "Does anything hang?",
            now(f"max(agent_oldest_running_task_seconds{{{_AGENT}}}) or vector(0)"),
            unit=SECONDS,
            limits=limits("AgentTaskRunningLong"),
            alerts=["AgentTaskRunningLong"],
        ),
        number(
            "Retries",
            "Which share of the runs has to be tried again?",
            now(
                f'(sum(agent:agent_tasks:increase10m{{{_AGENT}, outcome="retry"}}) or vector(0))'
                f" / (sum(agent:agent_tasks:increase10m{{{_AGENT}}}) > 0)"
            ),
            unit=RATIO,
            limits=limits("AgentRetryStorm"),
            alerts=["AgentRetryStorm"],
        ),
    ],
)

_COMPARED = Section(
    "Compared",
    [
        sheet(
            "Agents",
            "Which agent stands out?",
            {"agent": "Agent"},
            Column("Runs/s", f"sum by (agent) (rate(agent_tasks_total{{{_AGENT}}}[$__range]))", PER_SECOND, decimals=3),
            Column("Failing", failing(_AGENT), RATIO, limits("AgentFailureRatioHigh")),
            Column("p50 run", quantile(0.5, "agent_task_duration_seconds", _AGENT, "agent", "$__range"), SECONDS),
            Column(
                "p95 run",
                quantile(0.95, "agent_task_duration_seconds", _AGENT, "agent", "$__range"),
                SECONDS,
                limits("AgentSlow"),
            ),
            Column("p95 wait", quantile(0.95, "agent_task_wait_seconds", _AGENT, "agent", "$__range"), SECONDS),
            Column("Cores", f"sum by (agent) (rate(agent_cpu_seconds_total{{{_AGENT}}}[$__range]))", CORES, decimals=3),
            Column("Peak memory", f"max by (agent) (agent_memory_bytes{{{_AGENT}}})", BYTES, limits("AgentMemoryHigh")),
            cell_links={"Agent": Link("This agent's page", addresses.dashboard("agent", agent="${__value.raw}"))},
            width=FULL,
            height=9,
        )
    ],
)

_WORK = Section(
    "Throughput and success",
    [
        series(
            "Runs by agent",
            "Who does how much?",
            lines(f"sum by (agent) (rate(agent_tasks_total{{{_AGENT}}}[$__rate_interval]))", "{{agent}}"),
            unit=PER_SECOND,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Share of tasks that fail",
            "Who fails, and since when? Of the tasks of ten minutes.",
            lines(failing(_AGENT), "{{agent}}"),
            unit=RATIO,
            limits=limits("AgentFailureRatioHigh"),
            alerts=["AgentFailureRatioHigh", "AgentFailuresMany"],
            top=1,
            width=THIRD,
        ),
        series(
            "Errors by type",
            "What goes wrong, and how often?",
            lines(
                f"sum by (agent, error_type) (rate(agent_errors_total{{{_AGENT}}}[$__rate_interval]))",
                "{{agent}}: {{error_type}}",
            ),
            unit=PER_SECOND,
            stacked=True,
            links=[Link("Logs", addresses.dashboard("logs"))],
            alerts=["AgentCrashing", "AgentTimeouts"],
            width=THIRD,
        ),
        series(
            "Submitted",
            "Who is asked to do how much?",
            lines(f"sum by (agent) (rate(agent_tasks_submitted_total{{{_AGENT}}}[$__rate_interval]))", "{{agent}}"),
            unit=PER_SECOND,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Run time by agent, 95th percentile",
            "Who got slower? A dot is one run, and leads to its trace.",
            lines(
                quantile(0.95, "agent_task_duration_seconds", _AGENT, "agent"),
                "{{agent}}",
                exemplars=True,
            ),
            unit=SECONDS,
            limits=limits("AgentSlow"),
            alerts=["AgentSlow", "AgentTimeouts"],
            logarithmic=True,
            bottom=None,
            width=THIRD,
        ),
        series(
            "Wait by agent, 95th percentile",
            "Whose tasks wait? A dot is one task, and leads to its trace.",
            lines(quantile(0.95, "agent_task_wait_seconds", _AGENT, "agent"), "{{agent}}", exemplars=True),
            unit=SECONDS,
            width=THIRD,
        ),
    ],
)

_RESOURCES = Section(
    "Resources",
    [
        series(
            "CPU",
            "Who uses the processors? 1 is one core.",
            lines(f"sum by (agent) (rate(agent_cpu_seconds_total{{{_AGENT}}}[$__rate_interval]))", "{{agent}}"),
            unit=CORES,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Peak memory of a run",
            "Who needs much memory?",
            lines(f"max by (agent) (agent_memory_bytes{{{_AGENT}}})", "{{agent}}"),
            unit=BYTES,
            limits=limits("AgentMemoryHigh"),
            alerts=["AgentMemoryHigh"],
            width=THIRD,
        ),
        series(
            "Disk",
            "Who reads and writes how much?",
            lines(
                f"sum by (agent, direction) (rate(agent_io_bytes_total{{{_AGENT}}}[$__rate_interval]))",
                "{{agent}} {{direction}}",
            ),
            unit=BYTES_PER_SECOND,
            width=THIRD,
        ),
    ],
)

BOARD = Board(
    uid="agents",
    title="Agents",
    description="All agents side by side: how much they do, how fast, how well, and with what.",
    sections=(_FINE, _COMPARED, _WORK, _RESOURCES),
    variables=(label_variable("agent", "Agent", "agent_tasks_submitted_total"),),
)
