"""`agent-service incident ...` against a running API."""

from __future__ import annotations

import json
import os
import sys

import httpx
import pytest

from agent_service.cli import main
from tests.integration.api.clients import KEYS, live_api, start_api
from tests.integration.incidents.conftest import FROM_ALERTMANAGER, TOKEN_DIGEST
from tests.unit.incidents.alerts import alert, payload


@pytest.fixture
def live(valkey_url, redis_client):
    with live_api(REDIS_URL=valkey_url, ALERTS_TOKEN_SHA256=TOKEN_DIGEST) as running:
        yield running


@pytest.fixture
def run(live, monkeypatch, capsys, tmp_path):
    """Types a command; gives its exit code, its output and its errors."""
    monkeypatch.setattr(os, "environ", {**os.environ, "API_URL": live.url, "API_KEY": KEYS["ci"]})
    monkeypatch.chdir(tmp_path)

    def type_command(*words):
        monkeypatch.setattr(sys, "argv", ["agent-service", "incident", *words])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return type_command


def opened(live, *alerts, **changes):
    answer = httpx.post(f"{live.url}/alerts", json=payload(*alerts, **changes), headers=FROM_ALERTMANAGER)
    return answer.raise_for_status().json()["effects"][0]["incident_id"]


def test_an_incident_is_worked_on_from_the_command_line(live, run):
    incident_id = opened(live)
    code, out, _ = run("list", "--status", "open", "--severity", "critical", "--team", "agents")
    assert (code, incident_id in out, "AgentFailing" in out) == (0, True, True)
    code, out, _ = run("ack", incident_id, "--by", "ada", "--note", "on it")
    assert (code, out) == (0, "acknowledged, owned by ada; next may come: investigating, resolved\n")
    assert run("step", incident_id, "investigating", "--by", "ada")[0] == 0
    assert run("note", incident_id, "it is the tool", "--by", "ada")[0] == 0
    assert run("owner", incident_id, "grace", "--by", "ada")[1].startswith("investigating, owned by grace;")
    assert run("resolve", incident_id, "--by", "grace")[1].startswith("resolved, owned by grace;")

    code, out, _ = run("show", incident_id)
    assert code == 0
    for words in ("on it", "it is the tool", "firing", "http://localhost:8000/runbooks/AgentFailing", "reviewed"):
        assert words in out
    code, out, _ = run("review", incident_id)
    assert (code, out.startswith("# Post-incident review: ")) == (0, True)
    assert run("step", incident_id, "reviewed")[1].endswith("next may come: nothing\n")
    code, out, _ = run("export")
    assert (code, json.loads(out)["id"]) == (0, incident_id)


def test_without_a_name_the_login_stands_for_it(live, run, monkeypatch):
    monkeypatch.setenv("LOGNAME", "lin")
    assert "owned by lin;" in run("ack", opened(live))[1]


def test_a_step_out_of_order_is_one_line_with_those_that_may_come(live, run):
    code, out, err = run("resolve", opened(live))
    assert (code, out) == (1, "")
    assert err == (
        "agent-service: The step does not follow: the incident is open and cannot become resolved; "
        "next may come: acknowledged\n"
    )


def test_what_there_is_not_is_one_line(run):
    code, _, err = run("show", "../tasks")
    assert (code, err.count("\n")) == (1, 1)
    assert run("list")[1] == "there are no such incidents\n"


def test_a_reopened_incident_says_so(live, run):
    incident_id = opened(live)
    httpx.post(f"{live.url}/alerts", json=payload(alert(status="resolved")), headers=FROM_ALERTMANAGER)
    opened(live)
    assert "1 times, last" in run("show", incident_id)[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ('[[policy]]\nseverity = "critical"\nsteps = [{after_minutes = -1, receiver = "a"}]', "entry 1"),
    ],
)
def test_the_api_does_not_start_with_a_policy_that_it_cannot_use(valkey_url, tmp_path, text, words):
    file = tmp_path / "policy.toml"
    if text:
        file.write_text(text)
    process = start_api(REDIS_URL=valkey_url, API_PORT="0", METRICS_PORT="0", ESCALATION_POLICY=str(file))
    line = process.communicate(timeout=30)[1].decode().strip().splitlines()[-1]
    assert process.returncode == 1
    assert line.startswith(f"startup: the escalation policy {file} ")
    assert words in line


@pytest.mark.parametrize("digest", ["at_the-token-itself", "0" * 63])
def test_a_token_in_place_of_its_digest_is_refused_and_not_shown(valkey_url, digest):
    process = start_api(REDIS_URL=valkey_url, API_PORT="0", METRICS_PORT="0", ALERTS_TOKEN_SHA256=digest)
    output = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 1
    assert "not 64 hexadecimal digits" in output
