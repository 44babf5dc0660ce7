"""Following a task while it runs."""

import json
import threading

import httpx
import pytest

from agent_service.settings import Settings
from agent_service.tasks.journal import Journal
from agent_service.tasks.models import TaskEventKind, TaskStatus
from tests.integration.system import wait_until


@pytest.fixture
def journal(redis_client, valkey_url):
    """Return what a worker would write with."""
    kept = Journal(redis_client, Settings(redis_url=valkey_url))

    def write(task_id, kind, **data):
        pipeline = redis_client.pipeline()
        kept.add(pipeline, task_id, kind, data)
        pipeline.execute()

    return write


def finish(redis_client, journal, task_id):
    redis_client.hset(f"rq:job:{task_id}", "status", TaskStatus.CANCELED)
    journal(task_id, TaskEventKind.STATUS, status="canceled")


class Stream:
    """Follows a task in the background."""

    def __init__(self, live, task_id, **headers):
        self.lines = []
        self.response = None
        self._client = httpx.Client(base_url=live.url, headers=live.client.headers, timeout=30)
        self._thread = threading.Thread(target=self._follow, args=(f"/tasks/{task_id}/events", headers))
        self._thread.start()

    def _follow(self, path, headers):
        with self._client, self._client.stream("GET", path, headers=headers) as self.response:
            try:
                for line in self.response.iter_lines():
                    self.lines.append(line)
            except httpx.TransportError:
                self.lines.append("cut")

    def events(self):
        """Return the complete events so far as (name, id, data)."""
        found = []
        for block in "\n".join(self.lines).split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "data" in fields:
                found.append((fields.get("event"), fields.get("id"), json.loads(fields["data"])))
        return found

    def names(self):
        return [name for name, _, _ in self.events()]

    def join(self):
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_a_task_is_followed_from_its_submission_to_its_end(live, redis_client, journal):
    task_id = live.submit()["id"]
    stream = Stream(live, task_id)
    wait_until(lambda: stream.names() == ["status"], "the submission is told")
    journal(task_id, TaskEventKind.PROGRESS, fraction=0.5, message="half")
    wait_until(lambda: stream.names() == ["status", "progress"], "progress is told while the task runs")
    journal(task_id, TaskEventKind.LOG, message="a line\nand another")
    finish(redis_client, journal, task_id)
    stream.join()

    assert stream.response.status_code == 200
    assert stream.response.headers["content-type"].startswith("text/event-stream")
    assert stream.names() == ["status", "progress", "log", "status", "end"]
    events = stream.events()
    assert all(event_id for _, event_id, _ in events[:-1])
    assert all("at" in data for _, _, data in events[:-1])
    assert (events[0][2]["status"], events[1][2]["fraction"]) == ("queued", 0.5)
    assert events[2][2]["message"] == "a line\nand another"
    assert events[-1][2] == {"status": "canceled"}


def test_a_reader_goes_on_where_it_left(live, redis_client, journal):
    task_id = live.submit()["id"]
    finish(redis_client, journal, task_id)
    whole = Stream(live, task_id)
    whole.join()
    rest = Stream(live, task_id, **{"Last-Event-ID": whole.events()[0][1]})
    rest.join()
    assert rest.events() == whole.events()[1:]


def test_a_silent_line_is_kept_open(live, redis_client, journal):
    task_id = live.submit()["id"]
    stream = Stream(live, task_id)
    wait_until(lambda: any(line.startswith(":") for line in stream.lines), "a comment")
    finish(redis_client, journal, task_id)
    stream.join()


def test_a_place_that_is_none_is_refused(live):
    task_id = live.submit()["id"]
    for place in ("yesterday", "1", "99999999999999999999-0"):
        response = live.client.get(f"/tasks/{task_id}/events", headers={"Last-Event-ID": place})
        assert response.status_code == 422
        assert response.json()["errors"][0]["parameter"] == "Last-Event-ID"


def test_a_reader_that_goes_away_leaves_no_connection(live, redis_client):
    def connections():
        return {client["id"]: client["cmd"] for client in redis_client.client_list()}

    def reading():
        return [number for number, command in connections().items() if command == "xread"]

    task_id = live.submit()["id"]
    with live.client.stream("GET", f"/tasks/{task_id}/events") as response:
        lines = response.iter_lines()
        assert next(lines) == "event: status"
        (used,) = wait_until(reading, "the stream reads")
    wait_until(lambda: used not in connections(), "the stream's connection is closed")


def test_a_stream_ends_when_the_service_stops(live):
    stream = Stream(live, live.submit()["id"])
    wait_until(lambda: stream.names() == ["status"], "the stream runs")
    assert live.stop(seconds=8) == 0
    stream.join()
    assert "end" not in stream.names()
