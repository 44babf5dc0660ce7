"""The post-incident report: what is known is filled in, what only people know is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from agent_service.incidents.errors import PrometheusAwayError
from agent_service.incidents.impact import Impact, ImpactReader
from agent_service.incidents.links import window_links
from agent_service.incidents.models import Incident
from agent_service.settings import Settings

LEAD: Final = timedelta(minutes=5)
"""What is looked at before the first alert: its condition held for a while before it fired."""
ERRORS_SHOWN: Final = 10
QUESTIONS: Final = (
    "What happened, in two sentences that somebody outside the team understands?",
    "What was the cause, and what let it become one?",
    "How was it noticed, and what would have shown it earlier?",
    "What helped, and what was in the way, while it was dealt with?",
    "What is changed so that it does not come again: what, who, by when?",
)


def _now() -> datetime:
    return datetime.now(UTC)


class Reviewer:
    """Writes reports."""

    def __init__(
        self, settings: Settings, impact: ImpactReader | None = None, clock: Callable[[], datetime] = _now
    ) -> None:
        """Take the settings.

        Args:
            settings: Where Prometheus and the tools are.
            impact: Replaces Prometheus in tests.
            clock: Gives the time.
        """
        self._settings = settings
        self._impact = impact or (ImpactReader(settings.prometheus_url) if settings.prometheus_url else None)
        self._clock = clock

    def report(self, incident: Incident) -> str:
        """Return the report as Markdown. While Prometheus is away, it says that the impact is unknown."""
        starts = [alert.starts_at for alert in incident.alerts]
        begin = min([incident.opened_at, *starts]) - LEAD
        end = max(incident.resolved_at or self._clock(), incident.opened_at)
        parts = (
            (f"Post-incident review: {_plain(incident.title)}", _facts(incident)),
            ("Impact", self._impact_lines(begin, end)),
            ("Timeline", _timeline(incident)),
            ("Alerts", _alerts(incident)),
            ("Where to look", self._links(incident, begin, end)),
            ("Questions", _questions()),
        )
        sections = ("\n".join([f"## {title}", "", *lines]) for title, lines in parts)
        return "\n\n".join(sections).removeprefix("#") + "\n"

    def _impact_lines(self, begin: datetime, end: datetime) -> Iterator[str]:
        yield f"From {_clock_text(begin)} to {_clock_text(end)}, {span_text(end - begin)}."
        yield ""
        if self._impact is None:
            yield "Impact unknown: PROMETHEUS_URL is not set."
            return
        try:
            impact = self._impact.read(begin, end)
        except PrometheusAwayError as error:
            yield f"Impact unknown: {error}."
            return
        yield from _impact(impact)

    def _links(self, incident: Incident, begin: datetime, end: datetime) -> Iterator[str]:
        links = list(window_links(self._settings, begin, end, incident.dashboard_url))
        if incident.runbook_url:
            links.append(("Runbook", incident.runbook_url))
        yield from (f"- {name}: <{_url(url)}>" for name, url in links)
        if not links:
            yield "No link is known: neither the alert nor GRAFANA_URL, KIBANA_URL and JAEGER_URL name one."


def span_text(span: timedelta) -> str:
    """Return a duration in words of at most two units."""
    seconds = max(0, round(span.total_seconds()))
    units = (("d", seconds // 86_400), ("h", seconds // 3_600 % 24), ("min", seconds // 60 % 60), ("s", seconds % 60))
    first = next((number for number, (_, count) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for unit, count in units[first : first + 2] if count) or "0 s"


def _facts(incident: Incident) -> Iterator[str]:
    yield from _table(
        ("", ""),
        [
            ("incident", incident.id),
            ("severity", incident.severity),
            ("team", incident.team),
            ("owner", incident.owner or "nobody"),
            ("status", incident.status),
            ("opened", _clock_text(incident.opened_at)),
            ("times opened", f"{incident.openings}, last {_clock_text(incident.active_since)}"),
            ("acknowledged after", _after(incident.active_since, incident.acknowledged_at)),
            ("resolved after", _after(incident.active_since, incident.resolved_at)),
        ],
    )


def _impact(impact: Impact) -> Iterator[str]:
    total, failed = impact.tasks, sum(impact.failed.values())
    share = f" ({failed / total:.1%})" if total else ""
    again = f"; {impact.retried:.0f} more runs went wrong and were tried again" if round(impact.retried) else ""
    yield f"- Tasks failed: {failed:.0f} of {total:.0f} that ended{share}{again}."
    wait, usual = (_seconds(value) for value in (impact.wait_seconds, impact.usual_wait_seconds))
    yield f"- Tasks delayed: 95 % of those that started had waited at most {wait}; in the same time before: {usual}."
    told = ", ".join(f"{_plain(name)} ({_plain(severity)})" for name, severity in impact.alerts)
    yield f"- Alerts that fired: {told or 'none that Prometheus knows of'}."
    if impact.failed:
        yield ""
        rows = [(*labels, f"{count:.0f}") for labels, count in impact.failed.items()]
        yield from _table(("agent", "outcome", "tasks"), rows)
    errors = sorted(((count, labels) for labels, count in impact.errors.items() if round(count)), reverse=True)
    if errors:
        yield ""
        rows = [(*labels, f"{count:.0f}") for count, labels in errors[:ERRORS_SHOWN]]
        yield from _table(("agent", "error", "times"), rows)


def _timeline(incident: Incident) -> Iterator[str]:
    rows = [(_clock_text(entry.at), entry.by, entry.kind, entry.note) for entry in incident.timeline]
    yield from _table(("when (UTC)", "who", "what", "note"), rows)


def _alerts(incident: Incident) -> Iterator[str]:
    rows = [
        (
            alert.name,
            ", ".join(f"{name}={value}" for name, value in sorted(alert.labels.items()) if name != "alertname"),
            _clock_text(alert.starts_at),
            "still firing" if alert.firing else _clock_text(alert.ends_at) if alert.ends_at else "ended",
        )
        for alert in sorted(incident.alerts, key=lambda alert: alert.starts_at)
    ]
    yield from _table(("alert", "labels", "began (UTC)", "ended (UTC)"), rows)


def _questions() -> Iterator[str]:
    for number, question in enumerate(QUESTIONS, start=1):
        if number > 1:
            yield ""
        yield f"{number}. **{question}**"
        yield ""
        yield "   _To be filled in._"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"| {' | '.join('---' for _ in header)} |"
    yield from (f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows)


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, in one line: it comes from alerts and from people's notes."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(str(text).split()))


def _url(url: str) -> str:
    """Return a URL that cannot end the brackets around it."""
    return re.sub(r"[\s<>]", lambda found: f"%{ord(found[0]):02X}", url)


def _clock_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _after(start: datetime, end: datetime | None) -> str:
    return span_text(end - start) if end else "not yet"


def _seconds(value: float | None) -> str:
    if value is None:
        return "unknown, since none started"
    return f"{value:.2g} s" if value < 10 else span_text(timedelta(seconds=value))
