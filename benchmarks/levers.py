"""What each lever of docs/performance-guide.md is worth: the same work before and after, interleaved in one run.

Run: python -m benchmarks.levers [ROUNDS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis

from benchmarks.service import ROOT, Service, valkey

TOOL_SECONDS = 0.02
MODULE = "benchmarks.lever_agents"
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text()


@dataclass(frozen=True)
class Lever:
    """One comparison.

    Attributes:
        measure: Runs one side and returns its figure.
        unit: Of the figure.
        higher_is_better: Whether the ratio is after over before, or the other way round.
    """

    name: str
    before: str
    after: str
    measure: Callable[[str], float]
    unit: str
    higher_is_better: bool = True


class Bench:
    """A service and its queue, and workers as each measurement wants them."""

    def __init__(self, service: Service, redis: Redis) -> None:
        self.service = service
        self.redis = redis

    def submit(self, agent: str, payload: dict[str, Any], count: int) -> list[str]:
        """Submit the same work many times and return the ids."""
        batch = {"tasks": [{"agent": agent, "input": payload}] * count}
        response = self.service.http.post("/tasks/batch", json=batch).raise_for_status()
        return [result["task"]["id"] for result in response.json()["results"]]

    @contextmanager
    def workers(self, *queues: str) -> Iterator[None]:
        """Run a worker for each queue that is named."""
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "agent_service", "worker", "--queue", queue],
                env=self.service.environment,
                cwd=self.service.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for queue in queues
        ]
        try:
            yield
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)

    def finished(self, queue: str = "default") -> int:
        """Return how many tasks of a queue have finished."""
        return int(self.redis.zcard(f"rq:finished:{queue}"))

    def wait_for(self, count: int, queue: str = "default") -> None:
        """Wait until so many tasks have finished."""
        deadline = time.monotonic() + 120
        while self.finished(queue) < count:
            if self.redis.zcard(f"rq:failed:{queue}"):
                raise RuntimeError("a task failed, so nothing can be compared")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.finished(queue)} of {count} tasks finished")
            time.sleep(0.002)

    def rate(self, agent: str, payload: dict[str, Any], count: int, workers: int = 1) -> float:
        """Return how many tasks a second the workers end, once all of them run; start-up left out."""
        self.redis.flushall()
        with self.workers(*["default"] * workers):
            self.submit("quick", {}, 20 * workers)
            self.wait_for(20 * workers)
            time.sleep(1.5 if workers > 1 else 0)  # the other worker's child may still be importing
            began = time.perf_counter()
            self.submit(agent, payload, count)
            self.wait_for(20 * workers + count)
            return count / (time.perf_counter() - began)

    def quick_latency(self, slow: str) -> float:
        """Return the 95th percentile of the seconds from submission to end of a quick agent beside a slow one."""
        self.redis.flushall()
        queues = ("default", "slow") if slow == "slow-apart" else ("default", "default")
        with self.workers(*queues):
            self.submit("quick", {}, 20)
            self.wait_for(20)
            time.sleep(1.5)
            self.submit(slow, {}, 12)
            ids = self.submit("quick", {}, 40)
            tasks = [self._ended(task_id) for task_id in ids]
        waits = [_moment(task["ended_at"]) - _moment(task["submitted_at"]) for task in tasks]
        return statistics.quantiles(waits, n=20)[-1]

    def hottest(self, agent: str) -> str:
        """Return what a line profile of the agent says."""
        self.redis.flushall()
        with self.workers("default"):
            body = {"agent": agent, "options": {"profile": "line"}}
            task = self.service.http.post("/tasks", json=body).raise_for_status().json()
            self._ended(task["id"])
            while not (found := self._profiles(task["id"])):
                time.sleep(0.05)
        return f"{found[0]['top']}: {found[0]['top_source']}"

    def _profiles(self, task_id: str) -> list[dict[str, Any]]:
        return list(self.service.http.get("/profiles", params={"task_id": task_id}).json()["profiles"])

    def _ended(self, task_id: str) -> dict[str, Any]:
        while True:
            task: dict[str, Any] = self.service.http.get(f"/tasks/{task_id}").json()
            if task["ended_at"]:
                return task
            time.sleep(0.01)


def levers(bench: Bench) -> Sequence[Lever]:
    items = {"items": list(range(10))}
    section = {"text": DOCUMENT}
    rate = bench.rate
    return (
        Lever("the hot line", "words-in-list", "words-in-set", lambda agent: rate(agent, {}, 40), "tasks/s"),
        Lever("async I/O", "lookup-sync", "lookup-async", lambda agent: rate(agent, {}, 150), "tasks/s"),
        Lever("batching", "lookup-each", "lookup-batch", lambda agent: rate(agent, items, 12), "tasks/s"),
        Lever("caching", "lookup-each", "lookup-cached", lambda agent: rate(agent, items, 12), "tasks/s"),
        Lever(
            "more workers",
            "1 worker, planner",
            "2 workers, planner",
            lambda side: rate("planner", section, 200, workers=int(side[0])),
            "tasks/s",
        ),
        Lever(
            "a queue per agent",
            "slow-shared",
            "slow-apart",
            bench.quick_latency,
            "s until a quick task ends, p95",
            higher_is_better=False,
        ),
    )


@contextmanager
def tool() -> Iterator[str]:
    """Run the tool that the agents ask; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(TOOL_SECONDS)
            body = json.dumps([item * 2 for item in asked]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with TemporaryDirectory() as folder, valkey() as url, tool() as tool_url:
        os.environ["BENCH_TOOL_URL"] = tool_url
        with Service(url, Path(folder), AGENT_MODULES=MODULE) as service:
            bench = Bench(service, Redis.from_url(url))
            print(f"levers, {rounds} rounds interleaved, medians; the tool takes {TOOL_SECONDS * 1e3:.0f} ms to answer")
            for lever in levers(bench):
                _compare(lever, rounds)
            print(f"  a line profile of words-in-list names\n    {bench.hottest('words-in-list')}")


def _compare(lever: Lever, rounds: int) -> None:
    before, after = [], []
    for _ in range(rounds):
        before.append(lever.measure(lever.before))
        after.append(lever.measure(lever.after))
    a, b = statistics.median(before), statistics.median(after)
    gain = b / a if lever.higher_is_better else a / b
    print(f"  {lever.name}: {gain:.1f}x  ({lever.unit})")
    for name, median, values in ((lever.before, a, before), (lever.after, b, after)):
        print(f"    {name:20} {median:9.3g}  {[float(f'{value:.3g}') for value in values]}", flush=True)


if __name__ == "__main__":
    main()
