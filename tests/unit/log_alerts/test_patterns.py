"""A file of patterns is read as it is meant, or refused with a line that says what is wrong where."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from log_alerts.patterns import PatternError, load
from stack.engine import REPOSITORY
from stack.names import known_fields, query_fields

GOOD = {
    "name": '"LogTaskLost"',
    "summary": '"A task was lost"',
    "query": "'message:\"task lost\"'",
    "threshold": "1",
    "window": '"5m"',
    "severity": '"warning"',
    "team": '"agents"',
}


def written(tmp_path: Path, *patterns: dict[str, str | None]) -> Path:
    """Write a file with a pattern for each set of changes to a good one; None leaves a field out."""
    file = tmp_path / "patterns.toml"
    text = ""
    for changes in patterns:
        fields = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
        text += "[[pattern]]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items())
    file.write_text(text)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(PatternError) as refused:
        load(file)
    return str(refused.value)


def test_a_pattern_is_read(tmp_path: Path) -> None:
    [pattern] = load(written(tmp_path, {}))

    assert (pattern.name, pattern.query, pattern.threshold) == ("LogTaskLost", 'message:"task lost"', 1)
    assert (pattern.window, pattern.severity, pattern.team) == (timedelta(minutes=5), "warning", "agents")
    assert (pattern.index, pattern.dashboard) == ("logs-agents-default", "logs")


@pytest.mark.parametrize(
    ("text", "duration"),
    [("30s", timedelta(seconds=30)), ("1h", timedelta(hours=1)), ("1d", timedelta(days=1))],
)
def test_a_window_has_a_unit(tmp_path: Path, text: str, duration: timedelta) -> None:
    assert load(written(tmp_path, {"window": f'"{text}"'}))[0].window == duration


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"severity": '"page"'}, "pattern LogTaskLost: severity: Input should be 'critical', 'warning' or 'info'"),
        ({"team": '"nobody"'}, "pattern LogTaskLost: team: Input should be 'agents' or 'platform'"),
        ({"threshold": "0"}, "pattern LogTaskLost: threshold: Input should be greater than or equal to 1"),
        ({"threshold": "1.5"}, "pattern LogTaskLost: threshold: Input should be a valid integer"),
        ({"threshold": "true"}, "pattern LogTaskLost: threshold: Input should be a valid integer"),
        ({"window": '"soon"'}, "pattern LogTaskLost: window: 'soon' is no duration such as 30s, 5m or 1h"),
        ({"window": "5"}, "pattern LogTaskLost: window: 5 is no duration such as 30s, 5m or 1h"),
        ({"window": '"0s"'}, "pattern LogTaskLost: window: it must be above 0 and at most a day"),
        ({"window": '"25h"'}, "pattern LogTaskLost: window: it must be above 0 and at most a day"),
        ({"query": '""'}, "pattern LogTaskLost: query: String should have at least 1 character"),
        ({"query": "'message:\"open'"}, "pattern LogTaskLost: query: a quotation mark is not closed"),
        ({"query": "'(a OR b'"}, "pattern LogTaskLost: query: the parentheses do not match"),
        ({"name": '"TaskLost"'}, "pattern TaskLost: name: it must begin with Log"),
        ({"name": '"Log/../x"'}, "pattern Log/../x: name: it must begin with Log"),
        ({"name": None}, "pattern number 1: name: Field required"),
        ({"summary": None}, "pattern LogTaskLost: summary: Field required"),
        ({"treshold": "1"}, "pattern LogTaskLost: treshold: Extra inputs are not permitted"),
        ({"index": '"a b"'}, "pattern LogTaskLost: index: String should match pattern"),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, changes: dict[str, str | None], fault: str) -> None:
    file = written(tmp_path, changes)

    assert refusal(file).startswith(f"{file}: {fault}")


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, {"severity": '"page"'}, {"name": '"LogOther"', "threshold": "0"})

    assert [line.split(": ")[1:3] for line in refusal(file).splitlines()] == [
        ["pattern LogTaskLost", "severity"],
        ["pattern LogOther", "threshold"],
    ]


def test_parentheses_and_quotation_marks_that_belong_to_the_text_are_let_pass(tmp_path: Path) -> None:
    assert load(written(tmp_path, {"query": r"""'message:"a (b" AND message:c\)'"""}))


def test_two_patterns_of_one_name_are_refused(tmp_path: Path) -> None:
    assert refusal(written(tmp_path, {}, {})).endswith("there is more than one pattern of the name LogTaskLost")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[pattern]", "is no TOML"),
        ("", "pattern: Field required"),
        ("pattern = []", "pattern: List should have at least 1 item"),
        ("pattern = [1]", "pattern number 1: "),
        ("[other]", "other: Extra inputs are not permitted"),
    ],
)
def test_a_file_that_is_no_list_of_patterns_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "patterns.toml"
    file.write_text(text)

    assert fault in refusal(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "none.toml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "is no TOML" in refusal(tmp_path / "binary")


def test_the_patterns_ask_for_fields_that_there_are() -> None:
    fields = set()
    for pattern in load(REPOSITORY / "log_alerts" / "patterns.toml"):
        query = pattern.query.replace("_exists_:", "")
        fields |= query_fields(query) if ":" in query else {query}
    assert fields <= known_fields()
