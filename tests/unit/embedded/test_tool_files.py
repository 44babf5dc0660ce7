"""The tools' configuration for this machine says what the stack's files say, and leads only to what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from agent_service.embedded.tool_files import (
    Addresses,
    ToolFileError,
    alertmanager_config,
    jaeger_config,
    prometheus_config,
)

ROOT = Path(__file__).parents[3]
ADDRESSES = Addresses(
    metrics="127.0.0.1:19464",
    api="http://127.0.0.1:18000",
    prometheus="127.0.0.1:19090",
    alertmanager="127.0.0.1:19093",
    jaeger="127.0.0.1:16686",
    otlp="127.0.0.1:14318",
    jaeger_telemetry=("127.0.0.1:18888", "127.0.0.1:18889"),
)
SPARE = {"health": 1, "query_grpc": 2, "otlp_grpc": 3}


def test_prometheus_scrapes_what_there_is_with_the_stacks_own_rules_and_intervals():
    source = ROOT / "prometheus" / "prometheus.yml"
    config = prometheus_config(source, ADDRESSES)
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}

    assert set(jobs) == {"agent-api", "agent-worker", "prometheus", "alertmanager", "jaeger", "jaeger-spans"}
    assert jobs["agent-api"]["static_configs"] == [{"targets": ["127.0.0.1:19464"]}]
    assert jobs["agent-worker"]["http_sd_configs"][0]["url"] == "http://127.0.0.1:19464/sd/workers"
    assert config["global"] == yaml.safe_load(source.read_text())["global"]
    assert config["rule_files"] == [str(ROOT / "prometheus" / "rules" / "*.yml")]
    assert config["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["127.0.0.1:19093"]}]}]


def test_prometheus_alone_scrapes_the_service_and_itself():
    config = prometheus_config(
        ROOT / "prometheus" / "prometheus.yml", Addresses("127.0.0.1:1", "http://127.0.0.1:2", prometheus="127.0.0.1:3")
    )

    assert {job["job_name"] for job in config["scrape_configs"]} == {"agent-api", "agent-worker", "prometheus"}
    assert config["alerting"]["alertmanagers"] == []


def test_jaeger_listens_on_this_machine_only_and_needs_no_elasticsearch():
    config = jaeger_config(ROOT / "jaeger" / "config.yml", ADDRESSES, SPARE)

    text = json.dumps(config)
    assert "0.0.0.0" not in text
    assert "elasticsearch" not in text
    assert config["receivers"]["otlp"]["protocols"]["http"]["endpoint"] == ADDRESSES.otlp
    assert config["extensions"]["jaeger_query"]["http"]["endpoint"] == ADDRESSES.jaeger
    assert Path(config["extensions"]["jaeger_query"]["ui"]["config_file"]).is_file()


def test_alertmanager_tells_the_api_and_who_is_configured(tmp_path: Path):
    settings = {"ALERTS_TOKEN": "at_token", "ALERT_SLACK_URL": "https://slack.example/hook"}
    text = alertmanager_config(ROOT / "alertmanager", tmp_path / "secrets", ADDRESSES, settings)
    receivers = {receiver["name"]: receiver for receiver in yaml.safe_load(text)["receivers"]}

    (webhook,) = receivers["incidents"]["webhook_configs"]
    assert webhook["url"] == "http://127.0.0.1:18000/alerts"
    token = Path(webhook["http_config"]["authorization"]["credentials_file"])
    assert token.read_text() == "at_token"
    assert token.stat().st_mode & 0o077 == 0
    assert "slack_configs" in receivers["on-call"]
    assert "pagerduty_configs" not in receivers["on-call"]
    assert "https://slack.example/hook" not in text
    (templates,) = yaml.safe_load(text)["templates"]
    assert list(Path(templates).parent.glob("*.tmpl"))


@pytest.mark.parametrize("text", ["a: [", "just words", ""])
def test_a_file_that_is_not_as_expected_is_named(tmp_path: Path, text: str):
    file = tmp_path / "prometheus.yml"
    file.write_text(text)

    with pytest.raises(ToolFileError, match=r"prometheus\.yml"):
        prometheus_config(file, ADDRESSES)
