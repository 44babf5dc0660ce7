"""Tasks on their way: how many wait and for how long, whether they will drain, and who works on them."""

from __future__ import annotations

from grafana.source.board import Board, Section, label_variable
from grafana.source.boards.expressions import oldest_task, quantile, queue_tasks, workers
from grafana.source.limits import limits, none_is_left
from grafana.source.panels import (
    BYTES,
    COUNT,
    PER_SECOND,
    RATIO,
    SECONDS,
    THIRD,
    Column,
    heat,
    number,
    series,
    sheet,
)
from grafana.source.queries import buckets, lines, now

_QUEUE = 'queue=~"$queue"'
_FINISHED = f'sum by (queue) (rate(agent_tasks_total{{{_QUEUE}, outcome!~"retry|canceled"}}[10m]))'
_DRAIN = f"{queue_tasks('queued', '$queue')} / ({_FINISHED} > 0)"
"""At the rate of the last ten minutes and with nothing new coming; none where nothing gets done."""

_FINE = Section(
    "Is it fine?",
    [
        number(
            "Waiting",
            "How much work is ready and not taken yet?",
            now(f"sum({queue_tasks('queued', '$queue')})"),
            limits=[*limits("QueueGrowing"), *limits("QueueNearlyFull")],
            alerts=["QueueGrowing", "QueueNearlyFull"],
        ),
        number(
            "Oldest waiting task",
            "How long has the unluckiest one waited?",
            now(f"max({oldest_task('$queue')})"),
            unit=SECONDS,
            limits=limits("QueueOldestTaskWaiting"),
            alerts=["QueueOldestTaskWaiting"],
        ),
        number(
            "Time to drain",
            "When would all that waits be done, if nothing new came and work went on as in the last ten minutes?",
            now(f"max({_DRAIN}) or vector(0)"),
            unit=SECONDS,
            limits=limits("QueueDrainSlow", 2),
            alerts=["QueueDrainSlow"],
        ),
        number(
            "Live workers",
            "Is anybody there to do the work?",
            now(f"sum({workers('$queue')})"),
            limits=none_is_left("QueueWithoutWorkers"),
            alerts=["QueueWithoutWorkers", "NoWorkerAlive"],
        ),
        number(
            "Busy workers",
            "Is there room for more?",
            now(
                f'(sum(max by (queue) (agent_workers{{{_QUEUE}, state="busy"}})) or vector(0))'
                f" / sum({workers('$queue')})"
            ),
            unit=RATIO,
            alerts=["WorkersAllBusy"],
        ),
        number(
            "Dead letters",
            "How many tasks failed for good and wait for a person?",
            now(f"max({queue_tasks('failed', '$queue')})"),
            limits=limits("QueueDeadLetters"),
            alerts=["QueueDeadLetters", "QueueDeadLettersGrowing"],
        ),
    ],
)

_SIZE = Section(
    "How much waits, and for how long",
    [
        series(
            "Tasks by state",
            "Where are the tasks?",
            lines(
                f'max by (queue, state) (agent_queue_tasks{{{_QUEUE}, state!~"finished|canceled"}})',
                "{{queue}} {{state}}",
            ),
            unit=COUNT,
            limits=[*limits("QueueGrowing"), *limits("QueueNearlyFull")],
            alerts=["QueueGrowing", "QueueNearlyFull"],
            width=THIRD,
        ),
        series(
            "Age of the oldest waiting task",
            "Does work pile up?",
            lines(oldest_task("$queue"), "{{queue}}"),
            unit=SECONDS,
            limits=limits("QueueOldestTaskWaiting"),
            alerts=["QueueOldestTaskWaiting"],
            width=THIRD,
        ),
        series(
            "Forecast: time to drain",
            "Will it drain by itself?",
            lines(_DRAIN, "{{queue}}"),
            unit=SECONDS,
            limits=limits("QueueDrainSlow", 2),
            alerts=["QueueDrainSlow"],
            width=THIRD,
        ),
        series(
            "Submitted and ended",
            "Does more come in than goes out?",
            lines(f"sum by (queue) (rate(agent_tasks_submitted_total{{{_QUEUE}}}[$__rate_interval]))", "{{queue}} in"),
            lines(
                f'sum by (queue) (rate(agent_tasks_total{{{_QUEUE}, outcome!="retry"}}[$__rate_interval]))',
                "{{queue}} out",
            ),
            unit=PER_SECOND,
            width=THIRD,
        ),
        series(
            "Wait",
            "How long until a task starts? A dot is one task, and leads to its trace.",
            lines(quantile(0.5, "agent_task_wait_seconds", _QUEUE, "queue"), "{{queue}} p50"),
            lines(quantile(0.95, "agent_task_wait_seconds", _QUEUE, "queue"), "{{queue}} p95", exemplars=True),
            lines(quantile(0.99, "agent_task_wait_seconds", _QUEUE, "queue"), "{{queue}} p99"),
            unit=SECONDS,
            width=THIRD,
        ),
        heat(
            "Wait, all tasks",
            "Do all wait, or only some?",
            buckets(f"sum by (le) (increase(agent_task_wait_seconds_bucket{{{_QUEUE}}}[$__rate_interval]))"),
            width=THIRD,
        ),
        series(
            "From submission to end",
            "How long does somebody wait who gave work? A dot is one task, and leads to its trace.",
            lines(quantile(0.5, "agent_task_end_to_end_seconds"), "p50"),
            lines(quantile(0.95, "agent_task_end_to_end_seconds"), "p95", exemplars=True),
            lines(quantile(0.99, "agent_task_end_to_end_seconds"), "p99"),
            unit=SECONDS,
            width=THIRD,
        ),
        series(
            "Retries",
            "How much work is done again, and whose is it?",
            lines(
                f'sum by (agent) (rate(agent_tasks_total{{{_QUEUE}, outcome="retry"}}[$__rate_interval]))', "{{agent}}"
            ),
            unit=PER_SECOND,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Dead letters over time",
            "Do failed tasks pile up?",
            lines(queue_tasks("failed", "$queue"), "{{queue}}"),
            limits=limits("QueueDeadLetters"),
            alerts=["QueueDeadLetters", "QueueDeadLettersGrowing"],
            width=THIRD,
        ),
    ],
)

_WORKERS = Section(
    "Workers",
    [
        series(
            "Workers by state",
            "How many are there, and do they have work?",
            lines(workers("$queue"), "{{queue}} {{state}}"),
            alerts=["WorkerLost", "WorkerNotReporting", "WorkersAllBusy"],
            stacked=True,
            width=THIRD,
        ),
        series(
            "Running now, by agent",
            "What do they work on?",
            lines("sum by (agent) (agent_tasks_in_progress)", "{{agent}}"),
            stacked=True,
            width=THIRD,
        ),
        series(
            "Oldest run",
            "Does anything hang?",
            lines("max by (agent) (agent_oldest_running_task_seconds)", "{{agent}}"),
            unit=SECONDS,
            limits=limits("AgentTaskRunningLong"),
            alerts=["AgentTaskRunningLong"],
            width=THIRD,
        ),
        sheet(
            "Each worker",
            "Which worker is there, and what does it use?",
            {"instance": "Worker", "queue": "Queue"},
            Column("Runs/s", f"sum by (instance, queue) (rate(agent_tasks_total{{{_QUEUE}}}[$__range]))", PER_SECOND),
            Column(
                "CPU",
                f"max by (instance, queue) (agent_worker_cpu_ratio{{{_QUEUE}}})",
                RATIO,
                limits("AgentCpuHigh", 1),
            ),
            Column(
                "Memory",
                f"max by (instance, queue) (agent_worker_memory_bytes{{{_QUEUE}}})",
                BYTES,
                limits("WorkerMemoryHigh"),
            ),
        ),
    ],
)

BOARD = Board(
    uid="queue",
    title="Tasks and queue",
    description="Tasks on their way: how many wait and for how long, whether they will drain, and who works on them.",
    sections=(_FINE, _SIZE, _WORKERS),
    variables=(label_variable("queue", "Queue", "agent_queue_tasks"),),
)
