"""What becomes of a fault: from its beginning to the review of its incident, with the time of each step."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import httpx
import yaml

from agent_service.cli.faults.catalog import Fault
from tests.faults.stack import FACTOR, FaultyStack, moment
from tests.stack.project import REPOSITORY

Found = TypeVar("Found")

NEVER_ESCALATED = "valkey-down"
"""Its incident can only be kept once Valkey is back, and is over then."""
WAIT_SECONDS = 1500 * FACTOR
ESCALATE_SECONDS = 4200 * FACTOR
"""Twice the half hour of a warning: a scrape that fails ends an alert for a moment, and its incident waits anew."""
SCRAPE_SECONDS = 10 * FACTOR
POLL_SECONDS = 0.3
LOG_SECONDS = 9.0
"""What a line takes until elastalert2 sees it: half a second until it is sent, the 5 s after which its index lets it be
found, and two looks."""
ESCALATED = ("memory", "crash", "failures", "log-pattern", "worker-down")
"""Those that are ignored until somebody else is told: all critical ones that can be, and one warning."""


@dataclass(slots=True)
class Story:
    """When each step of one fault came, in seconds of Unix time; None where it did not.

    Attributes:
        began: The fault's own program said that it begins.
        true: The first moment for which Prometheus knows the condition as true; of a log pattern, the line's own time.
        pending: Prometheus saw it.
        firing: It had been so for the rule's `for`.
        delivered: The receiver was called.
        opened: The incident's own word.
        escalated: Likewise; the first step.
        ended: The fault was ended.
        resolved: The incident's own word.
        review: The report, in Markdown.
        status: Where the incident is in the end.
        problem: What went wrong, if anything did.
        share: Of a core, the most that a worker got over the alert's window, where `cpu` did not fire.
        load: How much work there was for each processor of this machine in the last five minutes.
        said: What the fault's program said.
        exit_code: How it ended.
        is_told: Set once its incident is opened.
        is_over: Set once the fault has ended.
    """

    fault: Fault
    began: float = 0.0
    true: float | None = None
    pending: float | None = None
    firing: float | None = None
    delivered: float | None = None
    opened: float | None = None
    escalated: float | None = None
    ended: float | None = None
    resolved: float | None = None
    review: str = ""
    status: str = ""
    problem: str = ""
    share: float = 1.0
    load: float = 1.0
    said: list[str] = field(default_factory=list)
    exit_code: int | None = None
    is_told: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)

    @property
    def labels(self) -> dict[str, str]:
        """The labels by which its alert is known among others."""
        about = {"queue": "default"} if self.fault.alert.startswith("Queue") else {}
        agent = {"agent": self.fault.load.agent} if self.fault.load and not about else {}
        return {"alertname": self.fault.alert, "severity": self.fault.severity, **about, **agent}

    @property
    def delay(self) -> float | None:
        """Seconds from the condition until the receiver was called."""
        return self.delivered - self.true if self.delivered and self.true else None

    @property
    def allowed(self) -> float:
        """What `delay` may be: the rule's `for`, two scrapes, and Alertmanager's first wait."""
        wait = _group_wait(self.fault)
        looks = LOG_SECONDS if self.fault.alert.startswith("Log") else 2 * SCRAPE_SECONDS
        return self.fault.scaled(FACTOR).holds.total_seconds() + looks + wait * FACTOR


def _group_wait(fault: Fault) -> float:
    """Return the seconds for which Alertmanager waits before the first notice to people, from its configuration."""
    route = yaml.safe_load((REPOSITORY / "alertmanager" / "alertmanager.yml").read_text())["route"]
    wanted = f"severity = {fault.severity}"
    waits = [child.get("group_wait") for child in route["routes"] if child["matchers"] == [wanted]]
    return float((waits[0] or route["group_wait"]).removesuffix("s"))


def tell(stack: FaultyStack, story: Story) -> None:
    """Cause a fault, and watch what becomes of it until its incident is reviewed."""
    fault = stack.fault(story.fault.name)
    try:
        if not fault.began.wait(60):
            raise AssertionError("it does not begin")
        story.began = time.time()
        _watch(stack, story)
        story.ended = time.time()
        fault.end()
        story.is_over.set()
        _follow(stack, story)
    except AssertionError as error:
        story.problem = str(error)
        story.share = _share(stack) if story.fault.name == "cpu" else story.share
    finally:
        story.exit_code = fault.end()
        story.load = os.getloadavg()[1] / (os.cpu_count() or 1)
        story.said += fault.lines
        for event in (story.is_told, story.is_over):
            event.set()


def _watch(stack: FaultyStack, story: Story) -> None:
    """Wait until the alert was delivered, and its incident opened and escalated, while the fault goes on."""
    selector = ",".join(f'{label}="{value}"' for label, value in story.labels.items())
    since, is_log = story.began - 2, story.fault.alert.startswith("Log")
    if not is_log:
        story.firing = _until(lambda: stack.first(f'ALERTS{{{selector},alertstate="firing"}}', since), "it fires")
        story.pending = stack.active_since(selector, story.firing)
    story.delivered = _until(lambda: stack.receiver.heard(since, "firing", story.labels), "the receiver is called")
    story.true = _true_since(stack, story) if story.pending else _line_at(stack, story)
    if story.fault.name == NEVER_ESCALATED:
        return
    incident = _until(lambda: stack.incident(since - 60, story.labels), "the incident is opened")
    story.opened = moment(incident["active_since"])
    story.is_told.set()
    if story.fault.name in ESCALATED:
        story.escalated = _until(lambda: _step(stack, incident["id"], "escalated"), "it is escalated", ESCALATE_SECONDS)
        story.opened = moment(stack.api.get(f"/incidents/{incident['id']}").raise_for_status().json()["active_since"])
        # Whoever is told next takes it; that ends this escalation, so that the next incident has one of its own.
        stack.run("incident", "ack", incident["id"], "--by", "backup")


def _true_since(stack: FaultyStack, story: Story) -> float | None:
    """Return when the condition became true, as far as the samples tell: at most a scrape before a rule saw it."""
    expression = stack.rule(story.fault.alert, story.fault.severity)["query"]
    labels = {name: value for name, value in story.labels.items() if name in {"agent", "queue"}}
    since = (story.pending or story.began) - SCRAPE_SECONDS
    return stack.first(f"({expression}) and on ({','.join(labels)}) {_vector(labels)}", since)


def _line_at(stack: FaultyStack, story: Story) -> float:
    """Return when the first line of a log pattern was written."""
    wanted = [{"term": {"log.level": "critical"}}, {"range": {"@timestamp": {"gte": round(story.began * 1000)}}}]
    body = {"query": {"bool": {"filter": wanted}}, "sort": [{"@timestamp": "asc"}], "size": 1}
    found = stack.elastic("POST", "/logs-agents-default/_search", body=body).raise_for_status().json()["hits"]["hits"]
    return moment(found[0]["_source"]["@timestamp"])


def _vector(labels: Mapping[str, str]) -> str:
    made = "vector(1)"
    for name, value in labels.items():
        made = f'label_replace({made}, "{name}", "{value}", "", "")'
    return made


def _share(stack: FaultyStack) -> float:
    window, all_of_it = f"{120 * FACTOR:.0f}s", f"{1800 * FACTOR:.0f}s"
    mean = f"avg_over_time(agent_worker_cpu_ratio[{window}])"
    found = stack.query(f"max(max_over_time({mean}[{all_of_it}:{window}]))")
    return float(found[0]["value"][1]) if found else 1.0


def _follow(stack: FaultyStack, story: Story) -> None:
    """Wait until the alert is over and the incident resolved, and have it reviewed."""
    incident = _until(lambda: stack.incident(story.began - 60, story.labels), "the incident is opened")
    story.opened = moment(incident["active_since"])

    def resolved() -> dict[str, Any] | None:
        now: dict[str, Any] = stack.api.get(f"/incidents/{incident['id']}").raise_for_status().json()
        return now if now["status"] == "resolved" else None

    story.resolved = moment(_until(resolved, "the incident is resolved")["resolved_at"])
    story.review = stack.run("incident", "review", incident["id"]).stdout
    stack.run("incident", "step", incident["id"], "reviewed", "--by", "test")
    story.status = stack.api.get(f"/incidents/{incident['id']}").raise_for_status().json()["status"]


def _step(stack: FaultyStack, incident_id: str, kind: str) -> float | None:
    timeline = stack.api.get(f"/incidents/{incident_id}").raise_for_status().json()["timeline"]
    return next((moment(entry["at"]) for entry in timeline if entry["kind"] == kind), None)


def _until(condition: Callable[[], Found | None], what: str, seconds: float = WAIT_SECONDS) -> Found:
    """Return the first value of a condition.

    Raises:
        AssertionError: There is none in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):  # while Valkey is away, the API refuses
            if (value := condition()) is not None:
                return value
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def table(stories: Iterable[Story]) -> str:
    """Return the stories as a table; each time is the seconds since the beginning of its fault."""
    times = ("true", "pending", "firing", "delivered", "opened", "escalated", "ended", "resolved")
    rows = [("fault", "alert", "severity", "began", *times, "delay", "allowed", "incident")]
    for story in stories:
        moments = [getattr(story, name) for name in times]
        shown = ["-" if at is None else f"{at - story.began:+.1f}" for at in moments]
        began = f"{datetime.fromtimestamp(story.began).astimezone():%H:%M:%S}"
        delay = "-" if story.delay is None else f"{story.delay:.1f} s"
        alert = (story.fault.name, story.fault.alert, story.fault.severity)
        rows.append((*alert, began, *shown, delay, f"{story.allowed:.1f} s", story.problem or story.status))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
