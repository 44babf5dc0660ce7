"""What the commands below `profile` do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.text import Text

from agent_service.cli.client import RefusedError, ServiceClient
from agent_service.cli.configuration import load_settings
from agent_service.cli.drawing import clock_text, columns, facts, make_console, seconds_text
from agent_service.cli.errors import CommandError
from agent_service.cli.invocation import own_command

POLL_SECONDS = 0.25
SETTLE_SECONDS = 30.0
"""How long a profile may take to be evaluated and kept after its stretch of work is over."""
FORMATS = {".svg": "flamegraph.svg", ".json": "speedscope.json"}


def show_task_profiles(task_id: str, rows: int) -> None:
    """Show the profiles of a task.

    Raises:
        CommandError: There is no such task, or it has none.
    """
    with ServiceClient.of(load_settings()) as client:
        task = client.get(f"/tasks/{quote(task_id, safe='')}")
        if task["status"] == "started":
            make_console(stderr=True).print("waiting for the task to end")
        for _ in client.events(task["id"]):
            pass
        profiles = _settled(lambda: _found(client, task_id=task["id"]), SETTLE_SECONDS if task["profile_ids"] else 3.0)
        if not profiles:
            raise CommandError(
                f"task {task_id} has no profile: submit it with --profile, and see in its log (`{own_command()} show "
                f"{task_id}`) whether one was taken; they are kept for PROFILE_DAYS"
            )
        for profile in reversed(profiles):
            _show(client, profile["id"], rows, make_console())


def profile_agent(name: str, kind: str, tasks: int, rows: int, *, wait: bool) -> None:
    """Have the next tasks of an agent profiled, and with `wait` show the profiles as they come.

    Raises:
        CommandError: There is no such agent.
    """
    console, aside = make_console(), make_console(stderr=True)
    with ServiceClient.of(load_settings()) as client:
        known = {profile["id"] for profile in _found(client, agent=name)}
        client.post(f"/agents/{quote(name, safe='')}/profile", {"kind": kind, "tasks": tasks})
        if not wait:
            aside.print(f"see them with: {own_command()} profile list --agent {name}", soft_wrap=True)
            return
        aside.print(f"waiting for {tasks} tasks of agent {name}; Ctrl-C leaves")
        shown = 0
        while shown < tasks:
            time.sleep(POLL_SECONDS)
            new = [profile for profile in _found(client, agent=name) if profile["id"] not in known]
            for profile in reversed(new):
                known.add(profile["id"])
                _show(client, profile["id"], rows, console)
                shown += 1


def profile_worker(name: str, kind: str, seconds: float, rows: int) -> None:
    """Profile a worker for a while and show what it did.

    Raises:
        CommandError: There is no such worker, or it took no profile.
    """
    with ServiceClient.of(load_settings()) as client:
        asked = client.post(f"/workers/{quote(name, safe='')}/profile", {"kind": kind, "seconds": seconds})
        make_console(stderr=True).print(f"profiling for {seconds:g} s")
        time.sleep(seconds)
        if not _settled(lambda: _is_there(client, asked["profile_id"]), SETTLE_SECONDS):
            raise CommandError(f"worker {name} took no profile; its log says why")
        _show(client, asked["profile_id"], rows, make_console())


def list_profiles(task: str | None, agent: str | None, worker: str | None, limit: int) -> None:
    """List profiles."""
    with ServiceClient.of(load_settings()) as client:
        profiles = client.get("/profiles", task_id=task, agent=agent, worker=worker, limit=limit)["profiles"]
    table = columns("profile", "kind", "taken", "of, and what took most")
    for profile in profiles:
        table.add_row(
            profile["id"],
            profile["kind"],
            clock_text(profile["started_at"])[len("2026-") :],
            f"{profile['agent'] or profile['worker']}\n{profile['top'] or '-'}",
        )
    make_console().print(table if profiles else "there are no such profiles")


def show_profile(profile_id: str, rows: int) -> None:
    """Show a profile.

    Raises:
        CommandError: There is none of that id.
    """
    with ServiceClient.of(load_settings()) as client:
        _show(client, profile_id, rows, make_console())


def export_profile(profile_id: str, file: Path) -> None:
    """Write a profile into a file, in the format that its name says.

    Raises:
        typer.BadParameter: The name says none, or the file cannot be written.
        CommandError: There is no profile of that id.
    """
    form = FORMATS.get(file.suffix)
    if form is None:
        raise typer.BadParameter("the file's name ends in .svg or .json", param_hint="FILE")
    with ServiceClient.of(load_settings()) as client:
        text = client.get_text(f"/profiles/{quote(profile_id, safe='')}/{form}")
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"it cannot be written: {error}", param_hint="FILE") from error
    print(file)


def _found(client: ServiceClient, **wanted: str) -> list[dict[str, Any]]:
    return list(client.get("/profiles", limit=200, **wanted)["profiles"])


def _is_there(client: ServiceClient, profile_id: str) -> bool:
    try:
        client.get(f"/profiles/{profile_id}")
    except RefusedError:
        return False
    return True


def _settled(read: Callable[[], Any], seconds: float) -> Any:
    """Return the first true value of `read`, or the last one after some time."""
    deadline = time.monotonic() + seconds
    while True:
        value = read()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(POLL_SECONDS)


def _show(client: ServiceClient, profile_id: str, rows: int, console: Console) -> None:
    profile = client.get(f"/profiles/{quote(profile_id, safe='')}")
    console.print(
        facts(
            {
                "profile": profile["id"],
                "kind": profile["kind"],
                "agent": profile["agent"],
                "task": profile["task_id"],
                "worker": profile["worker"],
                "took": seconds_text(profile["seconds"]),
                "hottest": Text(profile["top"] or "nothing was seen", style="bold red"),
                "": Text(profile["top_source"] or "", style="red"),
                "note": profile["note"],
            }
        )
    )
    console.print()
    console.print(_table(profile, rows))
    console.print()


def _table(profile: dict[str, Any], rows: int) -> Any:
    """Return the table with the columns that this kind of profile has; the text of a line stands below its place."""
    shown = profile["rows"][:rows]
    measures = [name for name in _MEASURES if any(row[name] is not None for row in shown)]
    table = columns("share", *(_MEASURES[name] for name in measures), "where")
    for row in shown:
        where = Text(f"{row['file']}:{row['line']} " if row["file"] else "")
        where.append(row["function"], style="bold")
        if row["source"]:
            where.append(f"\n  {row['source']}", style="dim")
        table.add_row(_share(row, profile["total"]), *(_measure_text(name, row[name]) for name in measures), where)
    return table


_MEASURES = {"self_seconds": "self", "total_seconds": "total", "bytes": "memory", "calls": "count"}


def _share(row: dict[str, Any], total: float) -> str:
    cost = row["self_seconds"] if row["self_seconds"] is not None else row["bytes"] or 0
    return f"{cost / total:.1%}" if total else "-"


def _measure_text(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name == "bytes":
        return f"{value / 2**20:.2f} MiB" if value >= 2**16 else f"{value / 2**10:.1f} KiB"
    return str(value) if name == "calls" else seconds_text(value)
