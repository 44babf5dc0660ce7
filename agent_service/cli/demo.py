"""The demo: one real document through the whole system, and everything that can be seen of it."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.text import Text

from agent_service.cli.client import ServiceClient
from agent_service.cli.configuration import load_settings
from agent_service.cli.drawing import amount_text, columns, make_console, status_text, step_table
from agent_service.cli.errors import CommandError
from agent_service.cli.invocation import own_command
from agent_service.cli.metering import Change, Samples, changes, scrape
from agent_service.cli.stall import StallWatch
from agent_service.cli.waterfall import is_whole
from agent_service.cli.work import show_trace, spans_of
from agent_service.embedded.addresses import api_url, local_url
from agent_service.embedded.running import UpError, down, places, readiness, start_in_background
from agent_service.settings import Settings
from agent_service.tasks.models import SpanRecord
from agent_service.tasks.spans import most_telling
from agent_service.telemetry.contract import TASKS, Attribute, Operation

WORKFLOW = "document-report"
TITLE_CHARS = 300
POLL_SECONDS = 0.2
RUN_SECONDS = 300.0
STALL_SECONDS = 60.0
"""So long without any change is a standstill: no step of this workflow takes a tenth of that."""
SPANS_SHOWN = 40
SETTLE_SECONDS = 5.0
"""How long spans and counters may take to arrive after the last task ended."""


@dataclass(frozen=True, slots=True)
class Document:
    """What is reported on."""

    title: str
    text: str
    source: str


def run_demo(file: Path | None) -> None:
    """Run the demo, with a service started for it where none answers.

    Raises:
        CommandError: It did not come to its end; the message says why.
    """
    settings = load_settings()
    document = read_document(file)
    console = make_console()
    with _service(settings, console) as is_temporary, ServiceClient.of(settings) as client:
        run = _demonstrate(settings, client, document, console)
        _show_next(settings, run, console, after_up=is_temporary)


def read_document(file: Path | None) -> Document:
    """Return the document in a file, or this project's own documents as one.

    Raises:
        CommandError: There is no such file, or it is not text.
    """
    files = [file] if file else own_documents()
    try:
        text = "\n\n".join(part.read_text(encoding="utf-8") for part in files)
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not a text file in UTF-8") from error
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be read: {error.strerror}") from error
    if not text.strip():
        raise CommandError(f"{file} is empty; there is nothing to report on")
    headings = (line.removeprefix("# ").strip() for line in text.splitlines() if line.startswith("# "))
    title = next(headings, None) or files[0].stem
    return Document(title[:TITLE_CHARS], text, ", ".join(part.name for part in files))


def own_documents() -> list[Path]:
    """Return this project's README and documents.

    Raises:
        CommandError: They are not here, since only the package is installed.
    """
    for root in (Path.cwd(), Path(__file__).parents[2]):
        if (root / "README.md").is_file():
            return [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    raise CommandError("there is no README.md here; name a document: `make demo FILE=path`")


@contextmanager
def _service(settings: Settings, console: Console) -> Iterator[bool]:
    """Have a service, and stop it at the end where it was started only for this; tell whether it was."""
    if api_url(settings) != local_url(settings.api_host, settings.api_port) or _is_running(settings):
        yield False
        return
    console.print("No service answers yet: starting the embedded form for the length of the demo.")
    began = time.monotonic()
    try:
        start_in_background(settings)
    except UpError as error:
        raise CommandError(str(error)) from error
    console.print(f"Ready in {time.monotonic() - began:.1f} s.")
    # Whoever ends the demo early must not leave the service behind; Ctrl-C is an exception by itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield True
    finally:
        _stop(settings)


def _is_running(settings: Settings) -> bool:
    """Return whether a service answers at the API's address.

    Raises:
        CommandError: One does, but it cannot do the work.
    """
    status, checks = readiness(settings)
    if status not in {0, HTTPStatus.OK}:
        raise CommandError(f"the service at {api_url(settings)} is not ready: {json.dumps(checks)}")
    return status == HTTPStatus.OK


def _stop(settings: Settings) -> None:
    try:
        down(settings)
    except UpError as error:
        raise CommandError(str(error)) from error


def _demonstrate(settings: Settings, client: ServiceClient, document: Document, console: Console) -> dict[str, Any]:
    before = scrape(settings)
    console.print(f"Submitting {document.source} ({len(document.text.split())} words) to the workflow {WORKFLOW}.")
    run = client.post(f"/workflows/{WORKFLOW}", {"title": document.title, "text": document.text})
    run = watch(client, run["id"], console)
    if run["status"] != "finished":
        raise CommandError(f"the workflow {run['status']}: {run['error']}; see `{own_command()} show {run['id']}`")
    _heading(console, "Report")
    console.print(Markdown(run["result"]["markdown"]))
    spans, after = _settled(settings, client, run, before)
    shown = most_telling(spans, SPANS_SHOWN)
    show_trace(shown, console)
    console.print(
        f"One trace ({run['trace_id']}) of {len(spans)} spans over {_agent_runs(spans)} agent tasks"
        + (f"; the {len(spans) - len(shown)} shortest are left out here." if len(shown) < len(spans) else ".")
    )
    _show_changes(changes(before, after), console)
    return run


def watch(
    client: ServiceClient, run_id: str, console: Console, *, stall_seconds: float = STALL_SECONDS
) -> dict[str, Any]:
    """Show the steps as they go on, and return the run when it is over.

    Raises:
        CommandError: It takes too long, or nothing has moved for `stall_seconds`; the message says what is wrong.
    """
    deadline = time.monotonic() + RUN_SECONDS
    stall = StallWatch(client, stall_seconds)
    steps = _StepView(console)
    with steps:
        while True:
            run: dict[str, Any] = client.get(f"/workflows/{run_id}")
            steps.show(run["steps"])
            if run["status"] != "running":
                return run
            stall.look(run)
            if time.monotonic() > deadline:
                raise CommandError(
                    f"the workflow still runs after {RUN_SECONDS:.0f} s; `{own_command()} show {run_id}`"
                )
            time.sleep(POLL_SECONDS)


class _StepView:
    """The steps of a workflow: a table that is drawn over itself on a terminal, a line per change elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._shown: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> _StepView:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, steps: list[dict[str, Any]]) -> None:
        """Show where the steps are now."""
        if self._live:
            self._live.update(step_table(steps), refresh=True)
            return
        for step in steps:
            now = (step["status"], step["round"])
            if step["status"] != "pending" and self._shown.get(step["name"]) != now:
                self._shown[step["name"]] = now
                tasks = len(step["task_ids"])
                self._console.print(
                    Text.assemble(f"  {step['name']:<12} ", status_text(step["status"])),
                    f"round {step['round']}, {tasks} {'task' if tasks == 1 else 'tasks'}",
                )


def _settled(
    settings: Settings, client: ServiceClient, run: Mapping[str, Any], before: Samples
) -> tuple[list[SpanRecord], Samples]:
    """Return the spans and the metrics once they tell of every task, or what there is after a while."""
    task_ids = [task_id for step in run["steps"] for task_id in step["task_ids"]]
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        spans = spans_of(client, task_ids)
        after = scrape(settings)
        ended = sum(change.growth for change in changes(before, after) if change.name == TASKS.name)
        has_all = is_whole(spans) and _agent_runs(spans) >= len(task_ids) and (ended >= len(task_ids) or not after)
        if has_all or time.monotonic() > deadline:
            return spans, after
        time.sleep(POLL_SECONDS)


def _agent_runs(spans: list[SpanRecord]) -> int:
    return sum(span.attributes.get(Attribute.OPERATION_NAME) == Operation.INVOKE_AGENT for span in spans)


def _show_changes(moved: list[Change], console: Console) -> None:
    _heading(console, "Metrics that moved")
    table = columns("metric", "labels", "by", "average")
    last = ""
    for change in moved:
        average = amount_text(change.average, change.name) if change.average is not None else ""
        growth = f"{change.growth:.0f}" if average else amount_text(change.growth, change.name)
        name = change.name if change.name != last else ""
        table.add_row(name, " · ".join(value for _, value in change.labels), f"+{growth}", average)
        last = change.name
    console.print(table if moved else "the internal port with the metrics is not reached from here")


def _show_next(settings: Settings, run: Mapping[str, Any], console: Console, *, after_up: bool) -> None:
    _heading(console, "Where to look next")
    if after_up:
        console.print("The service was started for this demo only and stops now; after `make up` these still know it:")
    task_ids = [task_id for step in run["steps"] for task_id in step["task_ids"]]
    for work_id in (run["id"], task_ids[0]):
        console.print(f"  {own_command()} show {work_id}")
    console.print(f"  {own_command()} list")
    for name, place in places(settings):
        console.print(f"  {name:<20} {place}")
    for name, link in run["links"].items():
        if name != "self":
            console.print(f"  in {name.capitalize():<17} {link}", soft_wrap=True)


def _heading(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold underline"))
