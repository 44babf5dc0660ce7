"""Where a browser finds what a dashboard links to, with the ports that `.env` has from the start.

Each is a hidden variable of every dashboard, so that whoever uses other ports has one place to change.
"""

from __future__ import annotations

from typing import Final

SERVICE: Final = "${service_url}"
KIBANA: Final = "${kibana_url}"
JAEGER: Final = "${jaeger_url}"
PROMETHEUS: Final = "${prometheus_url}"
ALERTMANAGER: Final = "${alertmanager_url}"

ADDRESSES: Final = {
    "service_url": "http://localhost:8000",
    "kibana_url": "http://localhost:5601",
    "jaeger_url": "http://localhost:16686",
    "prometheus_url": "http://localhost:9090",
    "alertmanager_url": "http://localhost:9093",
}
"""The variables and their values."""

TIME_RANGE: Final = "${__url_time_range}"
"""Hands the time that is looked at to another dashboard."""
KIBANA_TIME: Final = "_g=(time:(from:'${__from:date:iso}',to:'${__to:date:iso}'))"
"""The same for Kibana."""
JAEGER_TIME: Final = "start=${__from}000&end=${__to}000&lookback=custom"
"""The same for Jaeger, which counts microseconds."""


def dashboard(uid: str, **variables: str) -> str:
    """Return the URL of another dashboard, at the same time.

    Args:
        uid: The dashboard's uid.
        variables: Values of its variables.
    """
    values = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return f"/d/{uid}?{TIME_RANGE}{values}"


def runbook(alert: str) -> str:
    """Return the URL of what to do about an alert."""
    return f"{SERVICE}/runbooks/{alert}"
