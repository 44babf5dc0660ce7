"""The commands below `incident` and their options; what they do is imported when they run."""

from __future__ import annotations

from typing import Annotated

import typer

incident = typer.Typer(name="incident", help="Look at incidents, and work on them.", no_args_is_help=True)

IncidentId = Annotated[str, typer.Argument(metavar="INCIDENT_ID", help="The id that `incident list` shows.")]
NoteOption = Annotated[str, typer.Option("--note", help="What is to be known about it.")]
By = Annotated[str | None, typer.Option("--by", help="Who does it; without it, your login name.")]


@incident.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="Only those in this state, such as open.")] = None,
    severity: Annotated[str | None, typer.Option(help="Only those of this severity.")] = None,
    team: Annotated[str | None, typer.Option(help="Only those of this team.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most incidents to list.")] = 20,
) -> None:
    """List incidents, newest first."""
    from agent_service.cli.incidents import list_incidents

    list_incidents(status, severity, team, limit)


@incident.command()
def show(incident_id: IncidentId) -> None:
    """Show an incident: its state, its alerts, and what happened to it."""
    from agent_service.cli.incidents import show_incident

    show_incident(incident_id)


@incident.command()
def ack(incident_id: IncidentId, note: NoteOption = "", by: By = None) -> None:
    """Say that somebody is on it; that ends its escalation."""
    from agent_service.cli.incidents import take_step

    take_step(incident_id, "acknowledged", note, by)


@incident.command()
def step(
    incident_id: IncidentId,
    to: Annotated[
        str, typer.Argument(metavar="STEP", help="acknowledged, investigating, mitigated, resolved or reviewed.")
    ],
    note: NoteOption = "",
    by: By = None,
) -> None:
    """Take an incident a step further."""
    from agent_service.cli.incidents import take_step

    take_step(incident_id, to, note, by)


@incident.command()
def note(
    incident_id: IncidentId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is to be known.")],
    by: By = None,
) -> None:
    """Write a note into an incident's timeline."""
    from agent_service.cli.incidents import add_note

    add_note(incident_id, text, by)


@incident.command()
def owner(
    incident_id: IncidentId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A person or a team.")],
    by: By = None,
) -> None:
    """Hand an incident over."""
    from agent_service.cli.incidents import hand_over

    hand_over(incident_id, name, by)


@incident.command()
def resolve(incident_id: IncidentId, note: NoteOption = "", by: By = None) -> None:
    """Say that it is over."""
    from agent_service.cli.incidents import take_step

    take_step(incident_id, "resolved", note, by)


@incident.command()
def review(incident_id: IncidentId) -> None:
    """Print the post-incident report, in Markdown; `incident step ID reviewed` says that the review is done."""
    from agent_service.cli.incidents import print_review

    print_review(incident_id)


@incident.command()
def export() -> None:
    """Print all incidents, one JSON document a line."""
    from agent_service.cli.incidents import print_export

    print_export()
