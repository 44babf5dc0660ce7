"""What is wrong right now, who knows of it, and whether they were told."""

from __future__ import annotations

from agent_service.telemetry.contract import Field
from grafana.source import addresses
from grafana.source.board import Board, Section
from grafana.source.boards.expressions import quantile
from grafana.source.limits import any_is, limits
from grafana.source.panels import (
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
    states,
)
from grafana.source.queries import lines, log_lines, now

_REAL = 'alertname!="Watchdog"'
"""The one that always fires only shows that alerts get through."""

_FINE = Section(
    "Is it fine?",
    [
        number(
            "Critical alerts",
            "Is somebody to be woken?",
            now('count(ALERTS{alertstate="firing", severity="critical"}) or vector(0)'),
            limits=any_is("red"),
        ),
        number(
            "Warnings",
            "Should somebody look into something today?",
            now('count(ALERTS{alertstate="firing", severity="warning"}) or vector(0)'),
            limits=any_is("orange"),
        ),
        number(
            "Open incidents",
            "Is somebody at work on a problem, or should be?",
            now("sum(max by (severity, team) (incidents_open)) or vector(0)"),
            limits=any_is("orange"),
        ),
        number(
            "Wait for an owner, of the time allowed",
            "Does an incident wait longer for somebody to take it than the escalation policy lets it?",
            now(
                "max(max by (severity, team) (incident_unacknowledged_seconds) / on (severity, team)"
                " min by (severity, team) (incident_escalation_after_seconds)) or vector(0)"
            ),
            unit=RATIO,
            limits=any_is("red"),
            alerts=["IncidentUnacknowledged"],
        ),
        number(
            "Alerts get through",
            "Does the way from Prometheus to Alertmanager work? The watchdog's alert always has to be there.",
            now('count(ALERTS{alertname="Watchdog", alertstate="firing"}) or vector(0)'),
            words={"0": "no", "1": "yes"},
            alerts=["Watchdog"],
        ),
        number(
            "Messages that failed",
            "Were people not reached in the last five minutes?",
            now("sum(increase(alertmanager_notifications_failed_total[5m])) or vector(0)"),
            limits=limits("AlertmanagerNotificationsFailing"),
            alerts=["AlertmanagerNotificationsFailing"],
        ),
    ],
)

_ALERTS = Section(
    "Alerts",
    [
        sheet(
            "Firing and pending",
            "What is wrong, since when, and what is to be done about it?",
            {"alertname": "Alert", "alertstate": "State", "severity": "Severity", "team": "Team"},
            Column("Number", f"count by (alertname, alertstate, severity, team) (ALERTS{{{_REAL}}})"),
            Column(
                "For",
                f"time() - min by (alertname, severity, team) (ALERTS_FOR_STATE{{{_REAL}}})",
                SECONDS,
            ),
            cell_links={"Alert": Link("Runbook", addresses.runbook("${__value.raw}"))},
            links=[Link("In Alertmanager", f"{addresses.ALERTMANAGER}/#/alerts")],
        ),
        states(
            "Alerts over time",
            "What was wrong when, and what came first?",
            lines(f'max by (alertname) (ALERTS{{{_REAL}, alertstate="firing"}})', "{{alertname}}"),
            words={"1": ("firing", "red")},
        ),
    ],
)

_INCIDENTS = Section(
    "Incidents",
    [
        series(
            "Open incidents over time",
            "How many problems are there, how bad, and whose?",
            lines("max by (severity, team) (incidents_open)", "{{severity}} {{team}}"),
            stacked=True,
            width=HALF,
        ),
        series(
            "Time without an owner",
            "Does an incident wait for somebody to take it?",
            lines("max by (severity, team) (incident_unacknowledged_seconds)", "{{severity}} {{team}}"),
            lines(
                "min by (severity, team, escalation) (incident_escalation_after_seconds)",
                "{{severity}} {{team}}: step {{escalation}} is due",
            ),
            unit=SECONDS,
            alerts=["IncidentUnacknowledged"],
            width=HALF,
        ),
        series(
            "Opened",
            "How many problems come up?",
            lines(
                "sum by (severity, team) (increase(incidents_opened_total[$__rate_interval]))", "{{severity}} {{team}}"
            ),
            bars=True,
            stacked=True,
            width=THIRD,
        ),
        series(
            "Time until somebody took it",
            "Are people there when something is wrong?",
            lines(
                quantile(0.5, "incident_time_to_acknowledge_seconds", by="severity", window="1d"), "{{severity}} p50"
            ),
            lines(
                quantile(0.95, "incident_time_to_acknowledge_seconds", by="severity", window="1d"), "{{severity}} p95"
            ),
            unit=SECONDS,
            width=THIRD,
        ),
        series(
            "Time until it was over",
            "How long do problems last?",
            lines(quantile(0.5, "incident_time_to_resolve_seconds", by="severity", window="1d"), "{{severity}} p50"),
            lines(quantile(0.95, "incident_time_to_resolve_seconds", by="severity", window="1d"), "{{severity}} p95"),
            unit=SECONDS,
            width=THIRD,
        ),
    ],
)

_MESSAGES = Section(
    "Were people told?",
    [
        series(
            "Messages sent",
            "Who is told, and how often?",
            lines("sum by (integration) (rate(alertmanager_notifications_total[$__rate_interval]))", "{{integration}}"),
            unit=PER_SECOND,
            width=THIRD,
        ),
        series(
            "Messages that failed, by way",
            "Through which way do messages not get out?",
            lines(
                "sum by (integration) (rate(alertmanager_notifications_failed_total[$__rate_interval]))",
                "{{integration}}",
            ),
            unit=PER_SECOND,
            width=THIRD,
        ),
        series(
            "Silences",
            "Is somebody kept from being told on purpose?",
            lines("sum by (state) (alertmanager_silences)", "{{state}}"),
            links=[Link("In Alertmanager", f"{addresses.ALERTMANAGER}/#/silences")],
            width=THIRD,
        ),
    ],
)

_ERRORS = Section(
    "What the service says",
    [
        log_panel(
            "Errors",
            "Which errors were logged around the alerts?",
            log_lines(f"{Field.LOG_LEVEL}:(error OR critical)", 100),
            links=[Link("Logs", addresses.dashboard("logs"))],
            height=9,
        )
    ],
)

BOARD = Board(
    uid="incidents",
    title="Incidents and alerts",
    description="What is wrong right now, who knows of it, and whether they were told.",
    sections=(_FINE, _ALERTS, _INCIDENTS, _MESSAGES, _ERRORS),
    since="now-6h",
)
