"""The commands as a user types them, against a service that answers from a table."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent_service.cli import main
from agent_service.embedded.ports import free_port
from agent_service.settings import Settings
from tests.unit.cli.spans import span

TASK_ID = "01a20ccf-d97d-70a9-bee9-1ed8559e7a00"
RUN_ID = "01a20ccf-e49d-708e-816a-e88452af814d"
TASK = {
    "id": TASK_ID,
    "agent": "planner",
    "status": "finished",
    "queue": "default",
    "trace_id": "e724f5df37be42327588dc31825b9d3d",
    "workflow_id": None,
    "parent_task_id": None,
    "attempts": 2,
    "retries_left": 1,
    "submitted_at": "2026-11-24T09:00:00Z",
    "submitted_by": "default",
    "started_at": "2026-11-24T09:00:01Z",
    "ended_at": "2026-11-24T09:00:04Z",
    "worker": "host-1",
    "metadata": {"ticket": "DOC-42"},
    "progress": {"fraction": 1.0, "message": "done"},
    "input": {},
    "result": {"words": 2},
    "error": None,
}
RUN = {
    "id": RUN_ID,
    "name": "document-report",
    "status": "finished",
    "trace_id": TASK["trace_id"],
    "submitted_at": "2026-11-24T09:00:00Z",
    "ended_at": "2026-11-24T09:00:04Z",
    "steps": [
        {"name": "plan", "agent": "planner", "status": "finished", "round": 1, "task_ids": [TASK_ID], "error": None}
    ],
    "result": {"markdown": "# Report"},
    "error": None,
}
SPANS = [
    span("a", None, 0, 4, name="POST /tasks", service="agent-api").model_dump(),
    span("b", "a", 1, 2, name="process default", status="error").model_dump(),
    span("c", "a", 2, 4, name="process default", links=["b"]).model_dump(),
]
LOGS = [
    {"@timestamp": "2026-11-24T09:00:03.000Z", "log": {"level": "info"}, "message": "second", "labels": {"n": 2}},
    {"@timestamp": "2026-11-24T09:00:02.000Z", "log": {"level": "warning"}, "message": "first"},
]
EVENTS = """\
event: status
data: {"status": "started"}
id: 1-0

event: progress
data: {"fraction": 0.5, "message": "half"}
id: 2-0

event: end
data: {"status": "finished"}

"""


class Service:
    """Answers requests from a table, and remembers them."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.bodies: list[Any] = []


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Service]:
    """A service that the command line finds, in an empty directory."""
    table = Service()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if length:
                table.bodies.append(json.loads(self.rfile.read(length)))
            missing = (404, {"title": "Nothing is here", "detail": "no such path"})
            status, body = table.answers.get(f"{self.command} {self.path}", missing)
            raw = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw.encode())))
            self.end_headers()
            self.wfile.write(raw.encode())

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the base class's names

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    _use(monkeypatch, tmp_path, API_URL=f"http://127.0.0.1:{server.server_port}")
    yield table
    server.shutdown()
    thread.join()
    server.server_close()


def _use(monkeypatch: pytest.MonkeyPatch, directory: Path, **settings: str) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
    os.environ.update(settings)
    monkeypatch.chdir(directory)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Types a command; gives its exit code, its output and its errors."""

    def type_command(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agent-service", *words])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return type_command


def test_submit_prints_the_id_alone_so_that_a_script_can_take_it(service: Service, run):
    service.answers["POST /tasks"] = (202, TASK | {"status": "queued"})

    code, out, err = run("submit", "planner", "--input", '{"text": "hello"}', "--retries", "2", "--priority", "high")

    assert (code, out) == (0, f"{TASK_ID}\n")
    assert f"show {TASK_ID}" in err
    assert service.bodies == [
        {
            "agent": "planner",
            "input": {"text": "hello"},
            "options": {"priority": "high", "delay_seconds": 0, "retries": 2},
        }
    ]


def test_submit_takes_the_input_from_a_file(service: Service, run):
    service.answers["POST /tasks"] = (202, TASK)
    Path("input.json").write_text('{"text": "from a file"}')

    run("submit", "planner", "--input", "@input.json")

    assert service.bodies[0]["input"] == {"text": "from a file"}


@pytest.mark.parametrize("text", ["{", "[]", "@missing.json"])
def test_an_input_that_is_no_json_object_is_wrong_usage(service: Service, run, text: str):
    code, out, err = run("submit", "planner", "--input", text)

    assert (code, out) == (2, "")
    assert "--input" in err
    assert service.bodies == []


def test_submit_and_wait_shows_what_happens_and_prints_the_result(service: Service, run):
    service.answers["POST /tasks"] = (202, TASK | {"status": "queued"})
    service.answers[f"GET /tasks/{TASK_ID}/events"] = (200, EVENTS)
    service.answers[f"GET /tasks/{TASK_ID}"] = (200, TASK)

    code, out, err = run("submit", "planner", "--wait")

    assert (code, json.loads(out)) == (0, {"words": 2})
    assert "50% half" in err


def test_waiting_for_a_task_that_fails_fails(service: Service, run):
    failed = TASK | {"status": "failed", "error": {"type": "ValueError", "message": "no"}, "result": None}
    service.answers["POST /tasks"] = (202, TASK | {"status": "queued"})
    service.answers[f"GET /tasks/{TASK_ID}/events"] = (200, EVENTS)
    service.answers[f"GET /tasks/{TASK_ID}"] = (200, failed)

    code, out, err = run("submit", "planner", "--wait")

    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == "agent-service: the task failed: ValueError: no"


def test_show_draws_a_task_its_trace_and_its_log_in_order(service: Service, run):
    service.answers |= {
        f"GET /tasks/{TASK_ID}": (200, TASK),
        f"GET /tasks/{TASK_ID}/spans": (200, SPANS),
        f"GET /tasks/{TASK_ID}/logs": (200, LOGS),
    }

    code, out, _ = run("show", TASK_ID)

    assert code == 0
    assert "ticket=DOC-42" in out
    assert "process default (linked)" in out
    assert out.index("first") < out.index("second  n=2")
    assert all(len(line) <= 100 for line in out.splitlines())


def test_show_takes_the_id_of_a_workflow_too(service: Service, run):
    service.answers |= {
        f"GET /workflows/{RUN_ID}": (200, RUN),
        f"GET /tasks/{TASK_ID}/spans": (200, SPANS),
        f"GET /tasks/{TASK_ID}/logs": (200, LOGS),
    }

    code, out, _ = run("show", RUN_ID)

    assert code == 0
    assert "document-report" in out
    assert "POST /tasks" in out


def test_show_of_an_unknown_id_is_one_line(service: Service, run):
    code, out, err = run("show", "nope")

    assert (code, out) == (1, "")
    assert err == "agent-service: there is no task and no workflow 'nope'; they are kept for a limited time\n"


def test_list_names_the_tasks(service: Service, run):
    service.answers["GET /tasks?agent=planner&limit=20"] = (200, {"tasks": [TASK], "next_cursor": None})

    code, out, _ = run("list", "--agent", "planner")

    assert code == 0
    assert TASK_ID in out
    assert "finished" in out


def test_cancel_and_retry_tell_what_became_of_the_task(service: Service, run):
    service.answers[f"DELETE /tasks/{TASK_ID}"] = (202, TASK | {"status": "started"})
    service.answers[f"POST /tasks/{TASK_ID}/retry"] = (202, TASK | {"status": "queued"})

    assert run("cancel", TASK_ID)[:2] == (0, "started; its worker was asked to stop it\n")
    assert run("retry", TASK_ID)[:2] == (0, "queued\n")


def test_a_refusal_is_one_line_with_title_and_detail(service: Service, run):
    service.answers[f"POST /tasks/{TASK_ID}/retry"] = (
        409,
        {"title": "The task is in another state", "detail": "it is finished"},
    )

    code, out, err = run("retry", TASK_ID)

    assert (code, out) == (1, "")
    assert err == "agent-service: The task is in another state: it is finished\n"


def test_agents_and_workers_are_listed(service: Service, run):
    agent = {"name": "planner", "version": "1", "queue": "default", "timeout_seconds": 60, "retries": 2}
    service.answers["GET /agents"] = (200, [agent | {"description": "Splits a document."}])
    service.answers["GET /agents/planner"] = (200, agent | {"input_schema": {"type": "object"}})
    worker = {"name": "host-1", "queue": "default", "state": "idle", "metrics_address": None, "last_heartbeat": None}
    service.answers["GET /workers"] = (200, [worker | {"task_ids": []}])

    assert "Splits a document." in run("agents")[1]
    assert json.loads(run("agents", "planner")[1])["input_schema"] == {"type": "object"}
    assert "host-1" in run("workers")[1]


def test_without_a_service_the_way_to_start_one_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run):
    port = free_port("127.0.0.1")
    _use(monkeypatch, tmp_path, API_PORT=str(port))

    code, out, err = run("list")

    assert (code, out) == (1, "")
    assert err == f"agent-service: no service at http://127.0.0.1:{port}: start it with `make up`\n"


def test_a_bad_setting_stops_every_command_with_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run):
    _use(monkeypatch, tmp_path, API_PORT="many")

    for command in ("up", "api", "worker", "list", "urls"):
        code, out, err = run(command)
        assert (code, out) == (1, "")
        assert err.startswith("agent-service: bad setting: API_PORT: ")
        assert err.count("\n") == 1


def test_up_without_an_api_key_leads_to_init(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run):
    _use(monkeypatch, tmp_path)

    code, _, err = run("up")

    assert code == 1
    assert "make init" in err
    assert not (tmp_path / "var").exists()


def test_init_then_urls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run):
    _use(monkeypatch, tmp_path)

    assert run("init")[0] == 0
    assert run("init")[0] == 1
    code, out, _ = run("urls")
    assert code == 0
    assert "http://127.0.0.1:8000/docs" in out


def test_a_demo_of_a_file_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run):
    _use(monkeypatch, tmp_path)

    assert run("demo", "missing.md") == (1, "", "agent-service: missing.md cannot be read: No such file or directory\n")
