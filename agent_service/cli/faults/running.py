"""Announces a fault, causes it, and cleans up after it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NoReturn

from agent_service.cli.client import ServiceClient
from agent_service.cli.configuration import load_settings
from agent_service.cli.drawing import columns, make_console
from agent_service.cli.faults.catalog import FAULTS, Fault, check_factor, check_seconds, find
from agent_service.cli.faults.causing import TaskFault
from agent_service.cli.faults.parts import EmbeddedParts, Parts
from agent_service.embedded.addresses import api_url
from agent_service.settings import Settings

LIST: Final = "list"
"""What is typed instead of a name to see the names."""


def run_fault(name: str, seconds: float | None, factor: float) -> None:
    """Cause a fault in the service that the settings describe, or list the faults.

    Args:
        name: The fault's name, or `list`.
        seconds: How long it lasts; None takes the catalog's word.
        factor: By what the times of the rules are multiplied.

    Raises:
        CommandError: It cannot be caused; the message says why.
    """
    if name == LIST:
        list_faults()
        return
    settings = load_settings()
    cause(find(name), settings, EmbeddedParts(settings.var_dir), seconds=seconds, factor=factor)


def list_faults() -> None:
    """Print every fault with its alert."""
    table = columns("fault", "alert", "after", "lasts", "what happens")
    for fault in FAULTS.values():
        alert = f"{fault.alert} ({fault.severity})"
        table.add_row(fault.name, alert, text(fault.delay), text(fault.lasts), fault.does)
    make_console().print(table)


def cause(fault: Fault, settings: Settings, parts: Parts, *, seconds: float | None, factor: float) -> None:
    """Cause a fault for a while, and clean up, however it ends.

    Args:
        fault: As it is in the catalog.
        settings: Where the service is.
        parts: Takes parts of the system away.
        seconds: How long it lasts; None takes the catalog's word.
        factor: By what the times of the rules are multiplied.

    Raises:
        CommandError: It cannot be caused; the message says why. Nothing of it is left.
    """
    scaled = fault.scaled(check_factor(factor))
    lasts = scaled.lasts if seconds is None else check_seconds(seconds)
    with ServiceClient.of(settings) as client:
        if scaled.load:
            _tasks(scaled, TaskFault(client, scaled.load), lasts, settings)
        elif scaled.part:
            _part(scaled, scaled.part, parts, lasts, settings)


def _tasks(fault: Fault, tasks: TaskFault, lasts: timedelta, settings: Settings) -> None:
    tasks.check()
    _announce(fault, lasts, settings, "Its tasks are canceled then")
    _bounded(fault, lambda: tasks.cause(lasts), tasks.undo)


def _part(fault: Fault, part: str, parts: Parts, lasts: timedelta, settings: Settings) -> None:
    parts.check(part)
    _announce(fault, lasts, settings, f"Should this program be killed: `{parts.by_hand(part)}`")

    def take_away() -> None:
        _say(parts.take_away(part))
        time.sleep(lasts.total_seconds())

    _bounded(fault, take_away, lambda: parts.bring_back(part))


def _bounded(fault: Fault, do: Callable[[], None], undo: Callable[[], str]) -> None:
    """Do something and undo it at the end, at Ctrl-C and at SIGTERM."""
    former = signal.signal(signal.SIGTERM, _leave)
    try:
        _say(f"{fault.name} begins")
        do()
    except KeyboardInterrupt:
        _say("interrupted, cleaning up")
    finally:
        _say(f"{fault.name} ends: {undo()}")
        signal.signal(signal.SIGTERM, former)


def _leave(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def _announce(fault: Fault, lasts: timedelta, settings: Settings, note: str) -> None:
    """Say beforehand what is to come of it."""
    ends = f"about {text(fault.ends)} later" if fault.ends else "soon after"
    lines = {
        "fault": f"{fault.name}: {fault.does}",
        "should fire": _expectation(fault, lasts),
        "may fire too": ", ".join(fault.also) or "nothing",
        "runbook": f"{api_url(settings)}/runbooks/{fault.alert}",
        "ends": f"by itself after {text(lasts)}, or with Ctrl-C; the alert ends {ends}. {note}",
    }
    for name, line in lines.items():
        print(f"{name:<13} {line}", flush=True)


def _expectation(fault: Fault, lasts: timedelta) -> str:
    alert = f"{fault.alert} ({fault.severity})"
    if lasts < fault.builds + fault.holds:
        return f"nothing in {text(lasts)}: {alert} takes about {text(fault.builds + fault.holds)}"
    holds = f", it stays so for {text(fault.holds)}" if fault.holds else ""
    return (
        f"{alert}, about {text(fault.delay)} from now: its condition is true after {text(fault.builds)}{holds}, "
        f"and {text(fault.told)} later somebody has heard of it"
    )


def _say(line: str) -> None:
    print(f"{datetime.now().astimezone():%H:%M:%S}  {line}.", flush=True)


def text(duration: timedelta) -> str:
    """Return a duration for people, in minutes and seconds."""
    seconds = duration.total_seconds()
    minutes, rest = divmod(round(seconds), 60)
    if seconds < 10 and seconds != round(seconds):
        return f"{seconds:.1f} s"
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
