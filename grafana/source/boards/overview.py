"""Whether the whole is well, how much of the error budget is left, and where to look if not."""

from __future__ import annotations

from grafana.source import addresses
from grafana.source.board import Board, Section
from grafana.source.boards.expressions import ENDED, failing, oldest_task, quantile, queue_tasks, workers
from grafana.source.limits import any_is, limits, none_is_left
from grafana.source.objectives import OBJECTIVES
from grafana.source.panels import (
    FULL,
    HALF,
    PER_SECOND,
    RATIO,
    SECONDS,
    THIRD,
    Column,
    Link,
    log_panel,
    number,
    series,
    sheet,
)
from grafana.source.queries import lines, log_lines, now

_FINE = Section(
    "Is it fine?",
    [
        number(
            "Firing alerts",
            "Does anything want attention right now?",
            now('count(ALERTS{alertstate="firing", severity=~"critical|warning"}) or vector(0)'),
            limits=any_is("red"),
            links=[Link("Incidents and alerts", addresses.dashboard("incidents"))],
        ),
        number(
            "Open incidents",
            "Is somebody at work on a problem, or should be?",
            now("sum(max by (severity, team) (incidents_open)) or vector(0)"),
            limits=any_is("orange"),
            links=[Link("Incidents and alerts", addresses.dashboard("incidents"))],
        ),
        number(
            "Worst agent",
            "Which share of the last ten minutes' tasks of the agent that is worst off failed, timed out or crashed?",
            now(f"max({failing()})"),
            unit=RATIO,
            limits=limits("AgentFailureRatioHigh"),
            alerts=["AgentFailureRatioHigh"],
            links=[Link("Agents", addresses.dashboard("agents"))],
        ),
        number(
            "Waiting tasks",
            "How much work is ready and not taken yet?",
            now(f"sum({queue_tasks('queued')})"),
            limits=[*limits("QueueGrowing"), *limits("QueueNearlyFull")],
            alerts=["QueueGrowing", "QueueNearlyFull"],
            links=[Link("Tasks and queue", addresses.dashboard("queue"))],
        ),
        number(
            "Live workers",
            "Is anybody there to do the work?",
            now(f"sum({workers()})"),
            limits=none_is_left("NoWorkerAlive"),
            alerts=["NoWorkerAlive"],
            links=[Link("Tasks and queue", addresses.dashboard("queue"))],
        ),
        number(
            "Targets that are down",
            "Is there a part of the system of which nothing is known?",
            now("count(up == 0) or vector(0)"),
            limits=any_is("orange"),
            alerts=["TargetDown"],
            links=[Link("The stack itself", addresses.dashboard("stack"))],
        ),
    ],
)

_OBJECTIVES = Section(
    "Objectives and error budget",
    [
        panel
        for objective in OBJECTIVES
        for panel in (
            number(
                f"{objective.title}: budget left",
                f"Objective: {objective.promise}, over 30 days. How much of what may go wrong is left?",
                now(objective.left),
                unit=RATIO,
                limits=objective.left_limits,
                decimals=1,
            ),
            number(
                f"{objective.title}: kept",
                "For which share of the tasks was that kept?",
                now(objective.kept),
                unit=RATIO,
                limits=objective.kept_limits,
                decimals=2,
            ),
            series(
                f"{objective.title}: burn rate",
                "How many times faster than allowed is the budget used up? At 1 it lasts exactly as long as it should.",
                *(lines(objective.burn_rate(window), window) for window in ("1h", "6h", "1d", "3d")),
                limits=objective.burn_limits,
                alerts=[objective.alert],
                width=FULL - 8,
                height=4,
            ),
        )
    ],
)

_WORK = Section(
    "Work",
    [
        series(
            "Runs by outcome",
            "How much gets done, and how does it end?",
            lines("sum by (outcome) (rate(agent_tasks_total[$__rate_interval]))", "{{outcome}}"),
            unit=PER_SECOND,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Where a task's time goes, 95th percentile",
            "How long do tasks wait, how long do they run, and how long does all of it take?",
            lines(quantile(0.95, "agent_task_wait_seconds"), "waiting", exemplars=True),
            lines(quantile(0.95, "agent_task_duration_seconds"), "running", exemplars=True),
            lines(quantile(0.95, "agent_task_end_to_end_seconds"), "end to end", exemplars=True),
            unit=SECONDS,
            width=THIRD,
        ),
        series(
            "Oldest waiting task",
            "Does work pile up?",
            lines(oldest_task(), "{{queue}}"),
            unit=SECONDS,
            limits=limits("QueueOldestTaskWaiting"),
            alerts=["QueueOldestTaskWaiting"],
            width=THIRD,
        ),
    ],
)

_WHERE = Section(
    "Where to look",
    [
        sheet(
            "Agents",
            "Which agent is busy, slow or failing?",
            {"agent": "Agent"},
            Column("Runs/s", f"sum by (agent) (rate(agent_tasks_total{{{ENDED}}}[$__range]))", PER_SECOND, decimals=3),
            Column("Failing", failing(), RATIO, limits("AgentFailureRatioHigh")),
            Column(
                "p95 run",
                quantile(0.95, "agent_task_duration_seconds", by="agent", window="$__range"),
                SECONDS,
                limits("AgentSlow"),
            ),
            cell_links={"Agent": Link("This agent's page", addresses.dashboard("agent", agent="${__value.raw}"))},
            width=HALF,
        ),
        sheet(
            "What is wrong",
            "What is wrong, and what is to be done about it?",
            {"alertname": "Alert", "severity": "Severity", "team": "Team", "instance": "Where"},
            Column(
                "Number",
                'count by (alertname, severity, team, instance) (ALERTS{alertstate="firing", alertname!="Watchdog"})',
            ),
            cell_links={"Alert": Link("Runbook", addresses.runbook("${__value.raw}"))},
            links=[Link("Incidents and alerts", addresses.dashboard("incidents"))],
            width=HALF,
        ),
        log_panel(
            "Newest errors",
            "What did the service itself say went wrong?",
            log_lines("log.level:(error OR critical)", 50),
            links=[Link("Logs", addresses.dashboard("logs"))],
            height=8,
        ),
    ],
)

BOARD = Board(
    uid="overview",
    title="Overview",
    description="Whether the whole is well, how much of the error budget is left, and where to look if not.",
    sections=(_FINE, _OBJECTIVES, _WORK, _WHERE),
)
