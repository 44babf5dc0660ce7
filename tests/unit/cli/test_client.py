from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from agent_service.cli.client import RefusedError, ServiceClient, parse_events
from agent_service.cli.errors import CommandError

URL = "http://service"


def client_of(answer: Callable[[httpx.Request], httpx.Response]) -> ServiceClient:
    return ServiceClient(URL, "as_key", transport=httpx.MockTransport(answer))


def test_it_sends_the_key_and_leaves_out_what_is_not_asked_for():
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=[])

    with client_of(answer) as client:
        client.get("/tasks", agent="planner", status=None)

    assert seen[0].headers["Authorization"] == "Bearer as_key"
    assert str(seen[0].url) == f"{URL}/tasks?agent=planner"


def test_a_problem_is_told_by_title_and_detail():
    problem = {"title": "No such task", "detail": "there is no task 'x'", "status": 404}

    with client_of(lambda _: httpx.Response(404, json=problem)) as client, pytest.raises(RefusedError) as caught:
        client.get("/tasks/x")

    assert str(caught.value) == "No such task: there is no task 'x'"
    assert caught.value.status == 404


def test_a_refused_key_leads_to_where_it_is_set():
    problem = {"title": "No valid API key", "detail": "the request carries no API key"}

    with client_of(lambda _: httpx.Response(401, json=problem)) as client, pytest.raises(CommandError, match=r"\.env"):
        client.get("/tasks")


def test_no_service_is_one_line_that_says_how_to_start_it():
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused", request=request)

    with client_of(refuse) as client, pytest.raises(CommandError) as caught:
        client.get("/tasks")

    assert str(caught.value) == f"no service at {URL}: start it with `make up`"


def test_some_other_program_at_that_address_is_told_apart():
    with (
        client_of(lambda _: httpx.Response(200, text="<html>")) as client,
        pytest.raises(CommandError, match="API_URL"),
    ):
        client.get("/tasks")


def test_events_go_on_after_a_connection_that_was_cut():
    streams = [
        'event: status\ndata: {"status": "started"}\nid: 1-0\n\n',
        ': waiting\n\nevent: log\ndata: {"message": "hello"}\nid: 2-0\n\nevent: end\ndata: {"status": "finished"}\n\n',
    ]
    resumed_after = []

    def answer(request: httpx.Request) -> httpx.Response:
        resumed_after.append(request.headers.get("Last-Event-ID"))
        return httpx.Response(200, text=streams[len(resumed_after) - 1])

    with client_of(answer) as client:
        events = list(client.events("t"))

    assert [name for name, _ in events] == ["status", "log", "end"]
    assert resumed_after == [None, "1-0"]


def test_data_on_several_lines_is_one_event():
    assert list(parse_events(iter(["data: {", "data: }", ""]))) == [("message", {}, None)]
