"""Where the time goes, and what the machine is short of."""

from __future__ import annotations

from agent_service.telemetry.contract import Operation, ServiceName
from grafana.source import addresses
from grafana.source.board import Board, Section, label_variable
from grafana.source.boards import machine
from grafana.source.boards.expressions import average, quantile
from grafana.source.limits import limits
from grafana.source.panels import (
    BYTES,
    BYTES_PER_SECOND,
    CORES,
    HALF,
    PER_SECOND,
    RATIO,
    SECONDS,
    THIRD,
    Column,
    Link,
    number,
    series,
    sheet,
    trace_table,
)
from grafana.source.queries import lines, now, traces

_AGENT = 'agent=~"$agent"'
_SPANS = "traces_span_metrics_duration_milliseconds"
_TOOLS = f'span_name=~"{Operation.EXECUTE_TOOL} .*"'
_DISKS = 'device!~"loop.*|ram.*|sr.*|dm-.*"'

_FINE = Section(
    "Is it fine?",
    [
        number(
            "Average wait",
            "How much of a task's time is lost before it starts?",
            now(average("agent_task_wait_seconds", _AGENT, window="5m")),
            unit=SECONDS,
        ),
        number(
            "Average run",
            "How long do agents work on a task?",
            now(average("agent_task_duration_seconds", _AGENT, window="5m")),
            unit=SECONDS,
        ),
        number(
            "Time in tools",
            "Which share of the runs' time passes inside tools?",
            now(
                f"(sum(rate({_SPANS}_sum{{{_TOOLS}}}[5m])) or vector(0)) / 1000"
                f" / (sum(rate(agent_task_duration_seconds_sum{{{_AGENT}}}[5m])) > 0)"
            ),
            unit=RATIO,
        ),
        number(
            "CPU share of a run",
            "Do agents compute or wait? At 1 they compute all the time.",
            now(
                f"sum(rate(agent_cpu_seconds_total{{{_AGENT}}}[5m]))"
                f" / (sum(rate(agent_task_duration_seconds_sum{{{_AGENT}}}[5m])) > 0)"
            ),
            unit=RATIO,
        ),
        number(
            "Busiest worker",
            "Is one of them short of CPU? 1 is one core.",
            now("max(agent_worker_cpu_ratio)"),
            unit=CORES,
            limits=limits("AgentCpuHigh", 1),
            alerts=["AgentCpuHigh"],
            decimals=2,
        ),
        number(
            "Largest worker",
            "Does one of them need much memory?",
            now("max(agent_worker_memory_bytes)"),
            unit=BYTES,
            limits=limits("WorkerMemoryHigh"),
            alerts=["WorkerMemoryHigh"],
        ),
    ],
)

_TIME = Section(
    "Where the time goes",
    [
        series(
            "A task's time, on average",
            "Wait or work: which of them should get shorter?",
            lines(average("agent_task_wait_seconds", _AGENT), "waiting"),
            lines(average("agent_task_duration_seconds", _AGENT), "running"),
            unit=SECONDS,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Time by agent",
            "Whose runs take up the workers? 1 is one run at a time.",
            lines(f"sum by (agent) (rate(agent_task_duration_seconds_sum{{{_AGENT}}}[$__rate_interval]))", "{{agent}}"),
            unit=CORES,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Time by tool",
            "Which tools take up the runs?",
            lines(f"sum by (span_name) (rate({_SPANS}_sum{{{_TOOLS}}}[$__rate_interval])) / 1000", "{{span_name}}"),
            unit=CORES,
            stacked=True,
            width=THIRD,
        ),
        sheet(
            "Slowest agents",
            "Whose runs take longest, and do they compute or wait?",
            {"agent": "Agent"},
            Column(
                "p95 run",
                quantile(0.95, "agent_task_duration_seconds", _AGENT, "agent", "$__range"),
                SECONDS,
                limits("AgentSlow"),
            ),
            Column("Average run", average("agent_task_duration_seconds", _AGENT, "agent", "$__range"), SECONDS),
            Column(
                "CPU share",
                f"sum by (agent) (rate(agent_cpu_seconds_total{{{_AGENT}}}[$__range]))"
                f" / (sum by (agent) (rate(agent_task_duration_seconds_sum{{{_AGENT}}}[$__range])) > 0)",
                RATIO,
            ),
            cell_links={"Agent": Link("This agent's page", addresses.dashboard("agent", agent="${__value.raw}"))},
            width=HALF,
        ),
        sheet(
            "Slowest tools",
            "Which tools take longest, and how often are they used?",
            {"span_name": "Tool"},
            Column(
                "p95",
                f"{quantile(0.95, _SPANS, _TOOLS, 'span_name', '$__range')} / 1000",
                SECONDS,
            ),
            Column(
                "Average",
                f"sum by (span_name) (rate({_SPANS}_sum{{{_TOOLS}}}[$__range]))"
                f" / (sum by (span_name) (rate({_SPANS}_count{{{_TOOLS}}}[$__range])) > 0) / 1000",
                SECONDS,
            ),
            Column("Calls/s", f"sum by (span_name) (rate({_SPANS}_count{{{_TOOLS}}}[$__range]))", PER_SECOND),
            width=HALF,
        ),
        trace_table(
            "Slow runs",
            "What did runs of a second and more spend their time on?",
            traces(ServiceName.WORKER, min_duration="1s"),
            links=[
                Link("In Jaeger", f"{addresses.JAEGER}/search?service={ServiceName.WORKER}&{addresses.JAEGER_TIME}")
            ],
        ),
    ],
)

_WORKERS = Section(
    "Workers",
    [
        series(
            "CPU by worker",
            "Are they short of CPU? 1 is one core.",
            lines("max by (instance) (agent_worker_cpu_ratio)", "{{instance}}"),
            unit=CORES,
            limits=limits("AgentCpuHigh", 1),
            alerts=["AgentCpuHigh"],
            width=THIRD,
        ),
        series(
            "Memory by worker",
            "Does one of them grow without end?",
            lines("max by (instance) (agent_worker_memory_bytes)", "{{instance}}"),
            unit=BYTES,
            limits=limits("WorkerMemoryHigh"),
            alerts=["WorkerMemoryHigh"],
            width=THIRD,
        ),
        series(
            "Disk by agent",
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

_HOST = Section(
    "The machine (with the profile `host`)",
    [
        *machine.panels(),
        series(
            "Load",
            "Do programs wait for the processors? Above the number of cores they do.",
            lines("node_load1", "1 minute"),
            lines("node_load5", "5 minutes"),
            lines('count(node_cpu_seconds_total{mode="idle"})', "cores"),
            width=THIRD,
        ),
        series(
            "Disks",
            "How much is read and written?",
            lines(f"sum(rate(node_disk_read_bytes_total{{{_DISKS}}}[$__rate_interval]))", "read"),
            lines(f"sum(rate(node_disk_written_bytes_total{{{_DISKS}}}[$__rate_interval]))", "written"),
            unit=BYTES_PER_SECOND,
            width=THIRD,
        ),
        series(
            "Network",
            "How much comes and goes?",
            lines('sum(rate(node_network_receive_bytes_total{device!="lo"}[$__rate_interval]))', "received"),
            lines('sum(rate(node_network_transmit_bytes_total{device!="lo"}[$__rate_interval]))', "sent"),
            unit=BYTES_PER_SECOND,
            width=THIRD,
        ),
        series(
            "CPU by container",
            "Which part of the stack computes most? 1 is one core.",
            lines('sum by (name) (rate(container_cpu_usage_seconds_total{name!=""}[$__rate_interval]))', "{{name}}"),
            unit=CORES,
            stacked=True,
            width=HALF,
        ),
        series(
            "Memory by container, of its limit",
            "Which part of the stack is about to be killed for its memory?",
            lines(
                'max by (name) (container_memory_working_set_bytes{name!=""}'
                ' / (container_spec_memory_limit_bytes{name!=""} > 0))',
                "{{name}}",
            ),
            unit=RATIO,
            top=1,
            width=HALF,
        ),
    ],
)

BOARD = Board(
    uid="performance",
    title="Performance",
    description="Where the time goes, and what the machine is short of.",
    sections=(_FINE, _TIME, _WORKERS, _HOST),
    variables=(label_variable("agent", "Agent", "agent_tasks_submitted_total"),),
)
