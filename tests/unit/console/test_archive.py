"""What Jaeger and Elasticsearch answer, read as the journal would have kept it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agent_service.api.console.archive import Archive
from agent_service.api.console.evidence import read_line
from agent_service.settings import Settings

TRACE = {
    "traceID": "t1",
    "processes": {"p1": {"serviceName": "agent-api"}, "p2": {"serviceName": "agent-worker"}},
    "spans": [
        {
            "traceID": "t1", "spanID": "b", "operationName": "process default", "processID": "p2",
            "startTime": 2_000_000, "duration": 500_000,
            "references": [
                {"refType": "CHILD_OF", "traceID": "t1", "spanID": "a"},
                {"refType": "FOLLOWS_FROM", "traceID": "t1", "spanID": "x"},
            ],
            "tags": [{"key": "error", "value": True}, {"key": "span.kind", "value": "consumer"}],
        },
        {
            "traceID": "t1", "spanID": "a", "operationName": "POST /tasks", "processID": "p1",
            "startTime": 1_000_000, "duration": 100_000, "references": [], "tags": [],
        },
    ],
}  # fmt: skip
LINES = [
    {"@timestamp": f"2026-11-24T09:00:0{n}.000Z", "log": {"level": "info"}, "message": f"line {n}"} for n in (2, 1)
]


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server that answers as both do, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self._answer(200 if self.path.endswith("/t1") else 404, {"data": [TRACE]})

        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._answer(200, {"hits": {"hits": [{"_source": line} for line in LINES]}})

        def _answer(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", asked
    http.shutdown()
    thread.join()
    http.server_close()


def archive_at(url: str | None) -> Archive:
    return Archive(Settings.model_validate({"jaeger_api_url": url, "elasticsearch_api_url": url}))


def test_a_trace_of_jaeger_reads_like_one_of_the_journal(server):
    archive = archive_at(server[0])
    first, second = archive.spans("t1")
    assert (first.name, first.service, first.parent_id, first.start, first.end) == (
        "POST /tasks",
        "agent-api",
        None,
        1,
        1.1,
    )
    assert (second.parent_id, second.links, second.status, second.kind) == ("a", ["x"], "error", "consumer")
    assert archive.spans("other") == []
    archive.close()


def test_log_lines_of_elasticsearch_are_the_oldest_first(server):
    archive = archive_at(server[0])
    assert [read_line(line).message for line in archive.log_lines("id")] == ["line 1", "line 2"]
    assert json.loads(server[1][0])["query"] == {"term": {"task.id": "id"}}
    archive.close()


def test_an_answer_is_given_again_for_a_while(server):
    archive = archive_at(server[0])
    for _ in range(5):
        archive.spans("t1")
    assert len(server[1]) == 1
    archive.close()


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:1", "no url"])
def test_who_is_not_there_is_no_error(url):
    archive = archive_at(url)
    assert archive.spans("t1") == []
    assert archive.log_lines("id") == []
    archive.close()
