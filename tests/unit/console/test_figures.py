"""How figures are made: from a worker's metrics, from traces, from Prometheus, and how they read."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from agent_service.api.console import formats
from agent_service.api.console.history import QUERIES, History
from agent_service.api.console.points import FIELDS, Point, Ring, rows
from agent_service.api.console.rendering import STATIC, static_files
from agent_service.api.console.waterfall import WIDTH, waterfall
from agent_service.api.console.worker_metrics import parse
from agent_service.tasks.spans import of_task, tool_seconds
from agent_service.telemetry import contract
from agent_service.telemetry.metrics import Metrics, Sample
from tests.unit.cli.spans import span


def test_a_workers_metrics_are_read_without_their_buckets():
    metrics = Metrics()
    metrics.count(contract.TASKS, 3, agent="a", queue="q", outcome="success")
    metrics.count(contract.TASKS, 1, agent="a", queue="q", outcome="failure")
    for outcome in ("success", "failure"):
        metrics.observe(contract.TASK_DURATION, 2.0, agent="a", outcome=outcome)
    metrics.observe(contract.TASK_WAIT, 0.5, agent="a", queue="q")
    metrics.count(contract.AGENT_IO, 10, agent="a", direction="read")
    metrics.set(contract.AGENT_MEMORY, 99, agent="a")
    metrics.add_collector(
        lambda: [Sample(contract.WORKER_CPU, 0.25, {}), Sample(contract.TASKS_IN_PROGRESS, 2, {"agent": "a"})]
    )
    reading = parse(metrics.render()[0].decode())
    assert reading.totals == {
        ("a", "success"): 3,
        ("a", "failure"): 1,
        ("a", "runs"): 2,
        ("a", "run_seconds"): 4,
        ("a", "waits"): 1,
        ("a", "wait_seconds"): 0.5,
        ("a", "read_bytes"): 10,
    }
    assert (reading.cpu_ratio, reading.running, reading.memory_of) == (0.25, {"a": 2}, {"a": 99})


def tool(identifier, parent, start, end):
    return span(identifier, parent, start, end, attributes={"gen_ai.operation.name": "execute_tool"})


def run(identifier, parent, start, end, task):
    attributes = {"gen_ai.operation.name": "invoke_agent", "task.id": task}
    return span(identifier, parent, start, end, attributes=attributes)


def test_tools_at_the_same_time_count_once_and_those_of_other_tasks_not_at_all():
    spans = [
        run("a", None, 0, 10, "one"),
        tool("b", "a", 1, 4),
        tool("c", "a", 3, 5),
        tool("d", "b", 2, 3),
        run("e", None, 0, 10, "other"),
        tool("f", "e", 0, 10),
    ]
    assert tool_seconds(spans, "one") == 4
    assert tool_seconds(spans, "other") == 10
    assert tool_seconds(spans, "nobody") == 0


def test_a_task_has_its_own_part_of_a_trace():
    spans = [
        span("root", None, 0, 10),
        run("mine", "root", 1, 2, "one"),
        tool("tool", "mine", 1, 2),
        run("other", "root", 2, 3, "other"),
    ]
    assert [each.span_id for each in of_task(spans, "one")] == ["root", "mine", "tool"]
    assert of_task(spans, "nobody") == []


def test_every_bar_of_a_waterfall_is_inside_the_picture():
    spans = [
        span("a", None, 100, 110),
        span("b", "a", 109.9999, 110),
        span("c", "a", 100, 100),
        span("d", "a", 105, 106),
    ]
    picture = waterfall(spans)
    assert picture.seconds == 10
    assert [(bar.left, bar.length) for bar in picture.bars][-1] == (997, 3)
    for bar in picture.bars:
        assert bar.left >= 0
        assert bar.length > 0
        assert bar.left + bar.length <= WIDTH


def test_a_trace_without_length_and_one_with_very_many_spans_are_drawn():
    assert waterfall([span("a", None, 5, 5)]).bars[0].length == WIDTH
    many = [span("root", None, 0, 500), *(span(f"s{n}", "root", n, n + 1) for n in range(500))]
    picture = waterfall(many)
    assert len(picture.bars) + picture.hidden == 501
    assert picture.hidden > 300


def test_the_ring_forgets_its_oldest_and_sends_few_digits():
    ring = Ring(kept=3)
    for at in range(5):
        ring.add(Point(float(at), done=1 / 3))
    assert [point.at for point in ring.since(2)] == [3, 4]
    assert ring.begin() == 2
    row = dict(zip(FIELDS, rows(ring.since(3))[0], strict=True))
    assert (row["at"], row["done"], row["failed"]) == (4.0, 0.3333, None)


@pytest.fixture
def prometheus() -> Iterator[tuple[str, list[str]]]:
    """A server that answers every query with two samples, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            asked.append(query["query"][0])
            begin = float(query["start"][0])
            values = [[begin, "2"], [begin + 5, "NaN"]]
            body = json.dumps({"status": "success", "data": {"result": [{"metric": {}, "values": values}]}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_before_its_own_time_the_history_is_that_of_prometheus(prometheus):
    url, asked = prometheus
    ring = Ring()
    ring.add(Point(1000.0, done=7))
    history = History(ring, url)
    points = history.between(100.0, 2000.0)
    assert [(point.at, point.done, point.tools) for point in points] == [(100.0, 2.0, None), (1000.0, 7, None)]
    assert set(asked) == set(QUERIES.values())
    history.between(100.0, 2000.0)
    assert len(asked) == len(QUERIES)
    history.close()


def test_without_prometheus_there_is_what_is_known_here():
    ring = Ring()
    ring.add(Point(1000.0, done=7))
    away = History(ring, "http://127.0.0.1:1")
    assert [point.at for point in away.between(100.0, 2000.0)] == [1000.0]
    away.close()
    assert [point.at for point in History(ring, None).between(100.0, 2000.0)] == [1000.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.seconds(0), "0 s"),
        (formats.seconds(0.0123), "12 ms"),
        (formats.seconds(61), "1 min 01 s"),
        (formats.seconds(3 * 86_400 + 3_600), "3 d 1 h"),
        (formats.seconds(None), formats.DASH),
        (formats.size(1536), "1.5 KiB"),
        (formats.size(12), "12 B"),
        (formats.percent(0.99999), "99.9 %"),
        (formats.percent(1), "100 %"),
        (formats.percent(0.5), "50 %"),
        (formats.rate(0.004), "0"),
        (formats.rate(12.34), "12.3"),
        (formats.count(1234567), "1\u202f234\u202f567"),
    ],
)
def test_figures_read_well(text, expected):
    assert text == expected


def test_vendored_files_are_those_that_are_written_down():
    table = (STATIC / "vendor" / "VENDORED.md").read_text()
    for file in (STATIC / "vendor").glob("*.[jc]s*"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() in table, file.name
    assert "vendor/uplot.js" in static_files()
