from __future__ import annotations

import pytest

from agent_service.cli.drawing import amount_text, between_text, log_text, make_console, result_text, seconds_text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0004, "0.4 ms"), (0.25, "250 ms"), (1.26, "1.3 s"), (119, "119.0 s"), (600, "10.0 min")]
)
def test_durations_have_the_unit_that_suits_them(seconds: float, text: str):
    assert seconds_text(seconds) == text


def test_amounts_have_the_unit_that_the_metric_tells():
    assert amount_text(1.5, "agent_cpu_seconds_total") == "1.5 s"
    assert amount_text(2_500_000, "agent_io_bytes_total") == "2.5 MB"
    assert amount_text(12, "agent_tasks_total") == "12"


def test_what_has_not_happened_yet_is_a_dash():
    assert between_text("2026-01-01T00:00:00Z", None) == "-"


def test_a_log_line_shows_level_message_labels_and_error():
    line = {
        "@timestamp": "2026-01-01T10:00:00.125Z",
        "log": {"level": "error"},
        "message": "task [failed]",
        "labels": {"attempt": 2},
        "error": {"type": "ValueError", "message": "no"},
    }

    text = log_text(line).plain

    assert ".125" in text
    assert "error" in text
    assert "task [failed]  attempt=2" in text
    assert text.endswith("ValueError: no")


def test_a_long_result_is_cut_and_says_so():
    assert result_text(list(range(100))).plain.endswith("… 72 more lines")


def test_without_a_terminal_the_text_is_plain_and_of_one_width(capsys: pytest.CaptureFixture[str]):
    console = make_console()
    console.print("[bold]as it is[/bold]")

    assert console.width == 100
    assert capsys.readouterr().out == "[bold]as it is[/bold]\n"
