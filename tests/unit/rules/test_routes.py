"""Each alert gets to the receivers that it is meant for, whatever of them is configured."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.alert_catalog import ALERTMANAGER, names
from tests.unit.rules.programs import run_all

CONFIG = "alertmanager.yml"
SECRETS = (
    "alert_heartbeat_url",
    "alert_pagerduty_key",
    "alert_slack_url",
    "alert_smtp_password",
    "alert_webhook_url",
    "alerts_token",
)
MAIL = {
    "ALERT_MAIL_ON_CALL": "o'hara@example.com",
    "ALERT_MAIL_FROM": "alerts@example.com",
    "ALERT_SMTP_SMARTHOST": "smtp.example.com:587",
    "ALERT_SMTP_REQUIRE_TLS": "true",
    "ALERT_SMTP_USERNAME": "alerts: yes",
}
INTEGRATIONS = ("webhook_configs", "pagerduty_configs", "slack_configs", "email_configs")


def cases() -> Iterator[tuple[dict[str, str], str]]:
    """Yield labels and receivers; a case without an alertname once for each alert that has no case of its own."""
    written = yaml.safe_load((ALERTMANAGER / "tests" / "routes.yml").read_text())
    own = {case["labels"]["alertname"] for case in written if "alertname" in case["labels"]}
    for case in written:
        if "alertname" in case["labels"]:
            yield case["labels"], case["receiver"]
        else:
            for name in sorted(set(names()) - own):
                yield {"alertname": name, **case["labels"]}, case["receiver"]


def start_script(*, secrets: Path, **environment: str) -> str:
    """Return the configuration that Alertmanager would be started with."""
    done = subprocess.run(
        ["sh", str(ALERTMANAGER / "start.sh"), "--print"],
        env={
            "PATH": os.environ["PATH"],
            "ALERT_TEMPLATE": str(ALERTMANAGER / CONFIG),
            "ALERT_SECRETS_DIR": str(secrets),
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def integrations(configuration: str) -> dict[str, set[str]]:
    """Return by which ways each receiver is told."""
    receivers = yaml.safe_load(configuration)["receivers"]
    return {receiver["name"]: set(receiver) - {"name"} for receiver in receivers}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder with every secret."""
    for name in SECRETS:
        (tmp_path / name).write_text("https://example.com/secret")
    return tmp_path


def test_every_alert_of_every_severity_gets_where_it_should() -> None:
    wanted = list(cases())
    calls = [
        ["config", "routes", "test", f"--config.file={CONFIG}", f"--verify.receivers={receiver}"]
        + [f"{name}={value}" for name, value in labels.items()]
        for labels, receiver in wanted
    ]

    results = run_all("amtool", calls, ALERTMANAGER)

    assert len(calls) > 3 * len(names())
    wrong = [(labels, output) for (labels, _), (code, output) in zip(wanted, results, strict=True) if code != 0]
    assert wrong == []


def test_nothing_is_configured_and_it_loads(tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text(configuration := start_script(secrets=tmp_path / "none"))
    tmp_path.chmod(0o755)

    assert set().union(*integrations(configuration).values()) == set()
    [(code, output)] = run_all("amtool", [["check-config", "alertmanager.yml"]], tmp_path)
    assert code == 0, output


def test_everything_is_configured_and_it_loads(tmp_path: Path, secrets: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    tmp_path.chmod(0o755)
    (folder / "alertmanager.yml").write_text(configuration := start_script(secrets=secrets, **MAIL))

    made, whole = yaml.safe_load(configuration), yaml.safe_load((ALERTMANAGER / CONFIG).read_text())
    assert integrations(configuration) == integrations((ALERTMANAGER / CONFIG).read_text())
    assert made["route"] == whole["route"]
    assert made["inhibit_rules"] == whole["inhibit_rules"]
    assert made["global"] == {
        "resolve_timeout": "5m",
        "smtp_smarthost": "smtp.example.com:587",
        "smtp_from": "alerts@example.com",
        "smtp_require_tls": True,
        "smtp_auth_username": "alerts: yes",
        "smtp_auth_password_file": f"{secrets}/alert_smtp_password",
    }
    addresses = [mail["to"] for receiver in made["receivers"] for mail in receiver.get("email_configs", ())]
    assert addresses == ["o'hara@example.com"] * 5
    [(code, output)] = run_all("amtool", [["check-config", "alertmanager.yml"]], folder)
    assert code == 0, output


@pytest.mark.parametrize(
    ("name", "kind", "receivers"),
    [
        ("alert_heartbeat_url", "webhook_configs", {"heartbeat"}),
        ("alerts_token", "webhook_configs", {"incidents"}),
        ("alert_pagerduty_key", "pagerduty_configs", {"on-call", "on-call-platform", "backup"}),
        ("alert_slack_url", "slack_configs", {"on-call", "on-call-platform", "team", "team-platform", "backup"}),
        ("alert_webhook_url", "webhook_configs", {"on-call", "on-call-platform", "team", "team-platform", "backup"}),
    ],
)
def test_a_secret_turns_on_what_it_is_for_and_nothing_else(
    tmp_path: Path, name: str, kind: str, receivers: set[str]
) -> None:
    (tmp_path / name).write_text("https://example.com/secret")
    for other in set(SECRETS) - {name}:
        (tmp_path / other).write_text("")

    ways = integrations(start_script(secrets=tmp_path))

    assert {receiver: kinds for receiver, kinds in ways.items() if kinds} == {
        receiver: {kind} for receiver in receivers
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ALERT_MAIL_ON_CALL": "a"}, {"on-call": "a", "on-call-platform": "a", "team": "a", "team-platform": "a"}),
        ({"ALERT_MAIL_ON_CALL": "a", "ALERT_MAIL_TEAM": "b"}, {"on-call": "a", "on-call-platform": "b", "team": "b"}),
        ({"ALERT_MAIL_ON_CALL": "a", "ALERT_MAIL_PLATFORM": "c"}, {"team": "a", "team-platform": "c", "backup": "a"}),
        ({"ALERT_MAIL_ON_CALL": "a", "ALERT_MAIL_BACKUP": "d"}, {"on-call": "a", "backup": "d"}),
    ],
)
def test_whoever_has_no_address_shares_that_of_another(
    tmp_path: Path, given: Mapping[str, str], told: Mapping[str, str]
) -> None:
    receivers: list[dict[str, Any]] = yaml.safe_load(start_script(secrets=tmp_path, **given))["receivers"]

    found = {
        receiver["name"]: receiver["email_configs"][0]["to"] for receiver in receivers if "email_configs" in receiver
    }
    assert told.items() <= found.items()


def test_a_configuration_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        start_script(secrets=tmp_path, ALERT_TEMPLATE=str(tmp_path / "none.yml"))


def test_no_secret_is_in_the_configuration_itself(secrets: Path) -> None:
    assert "example.com/secret" not in start_script(secrets=secrets)


def test_a_route_to_the_wrong_receiver_is_found(tmp_path: Path) -> None:
    shutil.copytree(ALERTMANAGER, tmp_path / "it")
    tmp_path.chmod(0o755)
    file = tmp_path / "it" / CONFIG
    right = "    - matchers: [severity = critical, team = platform]\n      receiver: on-call-platform\n"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, right.replace("on-call-platform", "team")))
    words = ["config", "routes", "test", f"--config.file={CONFIG}", "--verify.receivers=incidents,on-call-platform"]

    [(code, output)] = run_all("amtool", [[*words, "severity=critical", "team=platform"]], tmp_path / "it")

    assert (code, "incidents,team" in output) == (1, True)


# What the messages say.


def rendered(template: str) -> str:
    words = ["template", "render", "--template.glob=templates/*.tmpl", "--template.data=tests/message.json"]
    [(code, output)] = run_all("amtool", [[*words, f'--template.text={{{{ template "{template}" . }}}}']], ALERTMANAGER)
    assert code == 0, output
    return output


@pytest.mark.parametrize("template", ["slack.default.text", "agents.text"])
def test_a_message_has_every_link(template: str) -> None:
    text = rendered(template)
    for part in (
        "60% of the tasks of planner fail",
        "What to do: http://localhost:8000/runbooks/AgentFailureRatioHigh",
        "Dashboard: http://localhost:3000/d/agent?var-agent=planner",
        "Logs: http://localhost:5601/app/discover#/view/agents-all?",
        "gen_ai.agent.name:%22planner%22",
        "Traces: http://localhost:16686/search?service=agent-worker",
        "operation=invoke_agent+planner",
    ):
        assert part in text


def test_a_message_says_what_is_over() -> None:
    assert "Over: 55% of the tasks of planner fail" in rendered("agents.text")


def test_a_log_pattern_brings_its_own_links() -> None:
    text = rendered("agents.text")
    assert "Logs: http://localhost:5601/its-lines" in text
    assert "Traces: http://localhost:16686/trace/abc" in text


@pytest.mark.parametrize("template", ["slack.default.title", "email.default.subject", "pagerduty.default.description"])
def test_the_subject_names_the_problem(template: str) -> None:
    assert rendered(template) == "[FIRING 2] AgentFailureRatioHigh planner (critical)"
