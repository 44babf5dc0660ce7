"""The commands below `profile` and their options; what they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

profile = typer.Typer(name="profile", help="See where time and memory go, down to the line.", no_args_is_help=True)

Kind = Literal["cprofile", "line", "sample", "memory"]
Rows = Annotated[int, typer.Option(min=1, max=200, help="Most lines of a table.")]
ProfileId = Annotated[str, typer.Argument(metavar="PROFILE_ID", help="The id that `profile list` shows.")]


@profile.command()
def task(
    task_id: Annotated[str, typer.Argument(metavar="TASK_ID", help="A task that was submitted with --profile.")],
    rows: Rows = 15,
) -> None:
    """Show the profiles of a task; waits for the task while it is not over."""
    from agent_service.cli.profiles import show_task_profiles

    show_task_profiles(task_id, rows)


@profile.command()
def agent(
    name: Annotated[str, typer.Argument(help="The agent's name; `agents` lists them.")],
    kind: Annotated[Kind, typer.Option(help="Function calls, lines, samples or memory.")] = "line",
    tasks: Annotated[int, typer.Option(min=1, max=100, help="How many of its next tasks.")] = 1,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the profiles and show them.")] = False,
    rows: Rows = 15,
) -> None:
    """Profile the next tasks of an agent, on whichever workers they run."""
    from agent_service.cli.profiles import profile_agent

    profile_agent(name, kind, tasks, rows, wait=wait)


@profile.command()
def worker(
    name: Annotated[str, typer.Argument(help="The worker's name; `workers` lists them.")],
    kind: Annotated[Literal["sample", "memory"], typer.Option(help="Samples or memory.")] = "sample",
    seconds: Annotated[float, typer.Option(min=1, max=300, help="For how long.")] = 10,
    rows: Rows = 15,
) -> None:
    """Profile everything that a worker does for a while, and show it."""
    from agent_service.cli.profiles import profile_worker

    profile_worker(name, kind, seconds, rows)


@profile.command("list")
def list_(
    task: Annotated[str | None, typer.Option(help="Only this task's.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    worker: Annotated[str | None, typer.Option(help="Only those that this worker took.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most profiles to list.")] = 20,
) -> None:
    """List profiles, newest first."""
    from agent_service.cli.profiles import list_profiles

    list_profiles(task, agent, worker, limit)


@profile.command()
def show(profile_id: ProfileId, rows: Rows = 15) -> None:
    """Show a profile: its hottest lines with their source."""
    from agent_service.cli.profiles import show_profile

    show_profile(profile_id, rows)


@profile.command()
def export(
    profile_id: ProfileId,
    file: Annotated[
        Path, typer.Argument(help="Where to: a flame graph in a file that ends in .svg, for speedscope in .json.")
    ],
) -> None:
    """Write a profile's flame graph, or a file for speedscope."""
    from agent_service.cli.profiles import export_profile

    export_profile(profile_id, file)
