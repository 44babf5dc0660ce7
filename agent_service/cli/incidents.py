"""The commands that look at incidents and work on them."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.text import Text

from agent_service.cli.client import ServiceClient
from agent_service.cli.configuration import load_settings
from agent_service.cli.drawing import between_text, clock_text, columns, facts, make_console

STYLES = {
    "critical": "bold red",
    "warning": "yellow",
    "open": "red",
    "acknowledged": "yellow",
    "investigating": "yellow",
    "mitigated": "cyan",
    "resolved": "green",
    "reviewed": "green",
}


def list_incidents(status: str | None, severity: str | None, team: str | None, limit: int) -> None:
    """List incidents."""
    with ServiceClient.of(load_settings()) as client:
        page = client.get("/incidents", status=status, severity=severity, team=team, limit=limit)
    table = columns("incident", "status", "severity", "team", "owner", "what")
    for incident in page["incidents"]:
        table.add_row(
            incident["id"],
            _styled(incident["status"]),
            _styled(incident["severity"]),
            incident["team"],
            incident["owner"] or "-",
            incident["title"],
        )
    make_console().print(table if table.row_count else "there are no such incidents")


def show_incident(incident_id: str) -> None:
    """Show one incident."""
    with ServiceClient.of(load_settings()) as client:
        incident = client.get(_path(incident_id))
    console = make_console()
    console.print(_facts(incident))
    _show_alerts(incident, console)
    _heading(console, "Timeline")
    table = columns("when", "who", "what", "note")
    for entry in incident["timeline"]:
        table.add_row(clock_text(entry["at"]), entry["by"], entry["kind"], entry["note"])
    console.print(table)


def take_step(incident_id: str, step: str, note: str, by: str | None) -> None:
    """Take an incident a step further."""
    _post(incident_id, "steps", {"step": step, "note": note, "by": by or _login()})


def add_note(incident_id: str, note: str, by: str | None) -> None:
    """Write a note."""
    _post(incident_id, "notes", {"note": note, "by": by or _login()})


def hand_over(incident_id: str, owner: str, by: str | None) -> None:
    """Name the owner."""
    _post(incident_id, "owner", {"owner": owner, "by": by or _login()})


def print_review(incident_id: str) -> None:
    """Print the post-incident report."""
    with ServiceClient.of(load_settings()) as client:
        sys.stdout.write(client.get_text(f"{_path(incident_id)}/review"))


def print_export() -> None:
    """Print all incidents."""
    with ServiceClient.of(load_settings()) as client:
        sys.stdout.write(client.get_text("/incidents/export"))


def _post(incident_id: str, what: str, body: Mapping[str, Any]) -> None:
    with ServiceClient.of(load_settings()) as client:
        incident = client.post(f"{_path(incident_id)}/{what}", body)
    following = ", ".join(incident["next_steps"]) or "nothing"
    print(f"{incident['status']}, owned by {incident['owner'] or 'nobody'}; next may come: {following}")


def _facts(incident: Mapping[str, Any]) -> Any:
    openings = incident["openings"]
    return facts(
        {
            "incident": incident["id"],
            "what": Text(incident["title"]),
            "status": _styled(incident["status"]),
            "severity": _styled(incident["severity"]),
            "team": incident["team"],
            "owner": incident["owner"] or "nobody",
            "opened": clock_text(incident["opened_at"]),
            "opened again": f"{openings - 1} times, last {clock_text(incident['active_since'])}"
            if openings > 1
            else None,
            "acknowledged": between_text(incident["active_since"], incident["acknowledged_at"]),
            "resolved": between_text(incident["active_since"], incident["resolved_at"]),
            "next": ", ".join(incident["next_steps"]),
            "runbook": incident["runbook_url"],
            "dashboard": incident["dashboard_url"],
        }
    )


def _show_alerts(incident: Mapping[str, Any], console: Console) -> None:
    _heading(console, "Alerts")
    table = columns("alert", "since", "until", "what")
    for alert in incident["alerts"]:
        labels, annotations = alert["labels"], alert["annotations"]
        named = " ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "alertname")
        until = "firing" if alert["firing"] else clock_text(alert["ends_at"])
        what = annotations.get("summary") or named
        table.add_row(labels.get("alertname", "-"), clock_text(alert["starts_at"]), until, what)
    console.print(table)


def _heading(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold underline"))


def _styled(word: str) -> Text:
    return Text(word, style=STYLES.get(word, ""))


def _path(incident_id: str) -> str:
    return f"/incidents/{quote(incident_id, safe='')}"


def _login() -> str | None:
    """Return who is logged in; where nobody can tell, the API key's name stands for them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None
