"""The walk-through of docs/incident-response.md, command by command as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stack.alert_catalog import code_blocks
from stack.running import places
from tests.faults.stack import FaultyStack
from tests.faults.story import Story
from tests.stack.project import REPOSITORY, wait_until

DOCUMENT = REPOSITORY / "docs" / "incident-response.md"
CAUSE = "make fault NAME=failures"
LABELS = {"alertname": "AgentFailureRatioHigh", "severity": "critical", "agent": "fault-fail"}
SEPARATOR = "::next::"


def commands() -> list[str]:
    """Return the commands of the walk-through, in order."""
    section = DOCUMENT.read_text().partition("\n## A fault, from the alert to the review\n")[2].partition("\n## ")[0]
    text = "".join(code_blocks(section, "console")).replace("\\\n    ", "")
    return re.findall(r"^\$ (.*?)(?: {2,}#.*)?$", text, re.MULTILINE)


def run(stack: FaultyStack, lines: list[str], before: str = "") -> tuple[list[str], str]:
    """Run commands in one shell, and return what each printed, and the shell's variables."""
    script = f"set -eu -o pipefail\n{before}\n" + "".join(f"{line}\necho '{SEPARATOR}'\n" for line in lines)
    for name, url, _ in places({}):
        if name.lower() in stack.ports:  # the console is at the API's
            script = script.replace(url.removesuffix("/docs"), stack.url(name.lower()))
    done = subprocess.run(
        ["bash", "-c", f"{script}\ndeclare -p ID TASK TRACE > variables 2>/dev/null || true"],
        cwd=stack.folder, capture_output=True, text=True, timeout=120,
        env=stack.outside | {"PATH": f"{Path(sys.executable).parent}:{stack.outside['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout.split(f"{SEPARATOR}\n")[:-1], (stack.folder / "variables").read_text()


@pytest.fixture(scope="module")
def shown(stack: FaultyStack, stories: dict[str, Story]) -> dict[str, str]:
    """What every command of the walk-through printed."""
    lines = commands()
    assert lines[0] == CAUSE
    mitigated = next(number for number, line in enumerate(lines) if " mitigated " in line)
    learned = mitigated + 1
    fault = stack.fault(CAUSE.rpartition("=")[2])
    try:
        assert fault.began.wait(60), fault.lines
        now = time.time()
        wait_until(lambda: stack.incident(now, LABELS), "the incident is open")
        printed, variables = run(stack, lines[1:mitigated])
    finally:
        code = fault.end()
    assert code == 0
    more, _ = run(stack, lines[mitigated:learned], variables)
    wait_until(lambda: (stack.incident(now, LABELS) or {}).get("status") == "resolved", "it is resolved by itself")
    last, _ = run(stack, lines[learned:], variables)
    return dict(zip(lines[1:], [*printed, *more, *last], strict=True))


def output(shown: dict[str, str], word: str) -> str:
    return next(text for line, text in shown.items() if word in line)


def test_the_alert_is_seen_firing_and_at_alertmanager(shown: dict[str, str]) -> None:
    assert '"alertname":"AgentFailureRatioHigh"' in output(shown, "/api/v1/alerts")
    assert '"alertname":"AgentFailureRatioHigh"' in output(shown, "/api/v2/alerts")


def test_it_is_acknowledged_and_the_runbook_can_be_read(shown: dict[str, str]) -> None:
    assert output(shown, "incident ack").startswith("acknowledged, owned by ")
    assert "I am looking at it." in output(shown, "incident show")
    assert "<h1>AgentFailureRatioHigh</h1>" in output(shown, "/runbooks/")


def test_the_cause_is_found_by_metric_log_and_trace(shown: dict[str, str]) -> None:
    assert '"agent":"fault-fail"' in output(shown, "/api/v1/query")
    assert "a fault on demand" in output(shown, "/_search")
    assert "a fault on demand" in output(shown, "agent-service show $TASK")
    assert "invoke_agent fault-fail" in output(shown, "/api/traces/")


def test_it_is_resolved_and_reviewed(stack: FaultyStack, shown: dict[str, str]) -> None:
    review = (stack.folder / "review.md").read_text()

    assert output(shown, " mitigated ").startswith("mitigated, owned by ")
    assert review.startswith("# Post-incident review: AgentFailureRatioHigh")
    assert "The fault is ended; nothing fails any more." in review
    assert output(shown, " reviewed ").startswith("reviewed, owned by ")
