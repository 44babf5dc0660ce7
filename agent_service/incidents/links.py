"""Where the time of an incident is seen in the tools around the service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote, urlencode

from agent_service.settings import Settings
from agent_service.tasks.links import GRAFANA_DASHBOARD, KIBANA_SEARCH, Links
from agent_service.telemetry.contract import Field, ServiceName


def window_links(
    settings: Settings, begin: datetime, end: datetime, dashboard_url: str | None
) -> Iterator[tuple[str, str]]:
    """Yield what is seen and its URL, for each tool whose base URL is set.

    Args:
        settings: The base URLs.
        begin: The start of what is shown.
        end: Its end.
        dashboard_url: The dashboard that the alert names; without it, that of the agents.
    """
    bases = Links.of(settings)
    dashboard = dashboard_url or (f"{bases.grafana_url}/d/{GRAFANA_DASHBOARD}" if bases.grafana_url else None)
    if dashboard:
        window = urlencode({"from": _milliseconds(begin), "to": _milliseconds(end)})
        yield "Dashboard", f"{dashboard}{'&' if '?' in dashboard else '?'}{window}"
    if bases.kibana_url:
        query = quote(f'{Field.LOG_LEVEL}:("warning" or "error" or "critical")', safe=":()")
        times = f"from:'{quote(begin.isoformat())}',to:'{quote(end.isoformat())}'"
        state = f"_g=(time:({times}))&_a=(query:(language:kuery,query:'{query}'))"
        yield "Logs", f"{bases.kibana_url}/app/discover#/view/{KIBANA_SEARCH}?{state}"
    if bases.jaeger_url:
        search = {
            "service": ServiceName.WORKER.value,
            "start": _milliseconds(begin) * 1000,
            "end": _milliseconds(end) * 1000,
            "lookback": "custom",
            "limit": 20,
            "tags": '{"error":"true"}',
        }
        yield "Traces that failed", f"{bases.jaeger_url}/search?{urlencode(search)}"


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
