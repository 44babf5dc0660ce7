"""The rules that elastalert2 gets say what the patterns say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from log_alerts.__main__ import main
from log_alerts.patterns import Pattern
from log_alerts.rules import outdated, render, to_rule, write
from stack.engine import REPOSITORY

FOLDER = REPOSITORY / "log_alerts"


def pattern(**changes: Any) -> Pattern:
    fields = {
        "name": "LogTaskLost",
        "summary": "A task was lost",
        "query": 'message:"it\'s lost!"',
        "threshold": 3,
        "window": "5m",
        "severity": "warning",
        "team": "agents",
    }
    return Pattern.model_validate({**fields, **changes})


def test_the_checked_in_rules_are_those_of_the_patterns() -> None:
    assert main(["--check"]) == 0


def test_a_rule_counts_as_the_pattern_says() -> None:
    rule = to_rule(pattern())

    assert (rule["type"], rule["num_events"], rule["timeframe"]) == ("frequency", 3, {"seconds": 300})
    assert rule["filter"] == [{"query": {"query_string": {"query": 'message:"it\'s lost!"'}}}]
    assert rule["index"] == "logs-agents-default"
    assert rule["alert_text"].startswith("3 lines or more matched within 5 min.")


@pytest.mark.parametrize(("window", "words"), [("1h", "1 h"), ("90s", "90 s"), ("1d", "24 h")])
def test_a_window_is_told_in_words(window: str, words: str) -> None:
    assert f"A line matched within {words}." in to_rule(pattern(threshold=1, window=window))["alert_text"]


def test_an_alert_has_the_labels_that_routes_go_by_and_every_link() -> None:
    rule = to_rule(pattern())

    assert (rule["alert"], rule["alertmanager_api_version"]) == (["alertmanager"], "v2")
    assert rule["alertmanager_alertname"] == "LogTaskLost"
    assert {"severity": "warning", "team": "agents"}.items() <= rule["alertmanager_labels"].items()
    links = rule["alertmanager_annotations"]
    assert links["runbook_url"] == "http://localhost:8000/runbooks/LogTaskLost"
    assert links["dashboard_url"] == "http://localhost:3000/d/logs"
    # In Kibana's notation `!` stands before an apostrophe and before itself.
    assert "query:'message:%22it%21%27s%20lost%21%21%22'" in links["logs_url"]


def test_lines_that_were_refused_are_looked_at_where_they_are() -> None:
    rule = to_rule(pattern(index="logs-agents.rejected-default"))
    assert "/view/agents-rejected?" in rule["alertmanager_annotations"]["logs_url"]


def test_a_rule_file_reads_back_as_the_rule() -> None:
    assert yaml.safe_load(render(pattern())) == to_rule(pattern())


def test_a_folder_is_brought_up_to_date(tmp_path: Path) -> None:
    both = [pattern(), pattern(name="LogOther")]
    assert write(both, tmp_path / "rules") == ["LogOther.yml", "LogTaskLost.yml"]
    assert write(both, tmp_path / "rules") == []

    changed = [pattern(threshold=9)]
    assert outdated(changed, tmp_path / "rules") == ["LogOther.yml", "LogTaskLost.yml"]
    assert write(changed, tmp_path / "rules") == ["LogOther.yml", "LogTaskLost.yml"]
    assert [file.name for file in (tmp_path / "rules").iterdir()] == ["LogTaskLost.yml"]


def test_rules_that_do_not_fit_are_told_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write([pattern()], tmp_path)
    before = (tmp_path / "LogTaskLost.yml").read_text()

    assert main(["--check", "--patterns", str(FOLDER / "patterns.toml"), "--rules", str(tmp_path)]) == 1
    assert "LogTaskLost.yml: does not fit the patterns; run `python -m log_alerts`" in capsys.readouterr().err
    assert (tmp_path / "LogTaskLost.yml").read_text() == before


def test_faulty_patterns_write_nothing_and_end_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "patterns.toml").write_text('[[pattern]]\nname = "x"\n')

    assert main(["--patterns", str(tmp_path / "patterns.toml"), "--rules", str(tmp_path / "rules")]) == 1
    assert "pattern x: name: it must begin with Log" in capsys.readouterr().err
    assert not (tmp_path / "rules").exists()


def test_the_rules_are_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rules", str(tmp_path)]) == 0
    assert str(tmp_path / "LogCritical.yml") in capsys.readouterr().out


def test_elastalert_looks_often_enough_for_an_alert_within_seconds() -> None:
    settings = yaml.safe_load((FOLDER / "elastalert.yml").read_text())
    assert settings["run_every"]["seconds"] <= 10
    assert settings["disable_rules_on_error"] is False
