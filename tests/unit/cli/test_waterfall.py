from __future__ import annotations

from io import StringIO

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agent_service.cli.waterfall import bar, is_whole, waterfall
from agent_service.tasks.spans import arrange, most_telling
from tests.unit.cli.spans import span


def draw(spans) -> list[str]:
    console = Console(file=StringIO(), width=100)
    console.print(waterfall(spans, console))
    return console.file.getvalue().splitlines()


def test_spans_hang_below_their_parents_in_the_order_of_their_start():
    spans = [span("late", "root", 2, 3), span("root", None, 0, 5), span("early", "root", 1, 2), span("leaf", "late", 2)]

    assert [(row.span.name, row.depth) for row in arrange(spans)] == [
        ("root", 0),
        ("early", 1),
        ("late", 1),
        ("leaf", 2),
    ]


def test_a_span_whose_parent_is_not_there_is_shown_all_the_same():
    spans = [span("orphan", "lost")]

    assert [row.depth for row in arrange(spans)] == [0]
    assert not is_whole(spans)


def test_bars_stand_where_their_time_is():
    lines = draw([span("whole", None, 10, 20), span("second", "whole", 15, 20)])
    whole, second = (next(line for line in lines if name in line) for name in ("whole", "second"))

    assert second.index("━") - whole.index("━") == whole.count("━") // 2
    assert second.rindex("━") == whole.rindex("━")
    assert "10.0 s" in whole
    assert "5.0 s" in second


def test_a_failed_span_and_a_retry_can_be_told_without_colour():
    lines = draw(
        [
            span("root", None, 0, 3),
            span("first", "root", 0, 1, name="process default", status="error"),
            span("second", "root", 2, 3, name="process default", links=["first"]),
        ]
    )
    first, second = (line for line in lines if "process default" in line)

    assert first.rstrip().endswith("error")
    assert "linked" not in first
    assert "linked" in second
    assert second.rstrip().endswith("ok")


def test_no_line_is_wider_than_the_console():
    spans = [span("root", None, 0, 1), span("deep", "root", 0, 1, name="execute_tool " + "long-name-" * 20)]

    assert all(len(line) <= 100 for line in draw(spans))


def test_the_longest_spans_come_with_what_they_hang_on():
    spans = [
        span("root", None, 0, 0.1),
        span("parent", "root", 0, 0.2),
        span("long", "parent", 0, 9),
        span("short", "root"),
    ]

    assert {kept.name for kept in most_telling(spans, 1)} == {"root", "parent", "long"}


@given(start=st.floats(0, 1), length=st.floats(0, 1), whole=st.floats(0, 2), width=st.integers(1, 200))
def test_a_bar_is_always_seen_and_never_leaves_its_column(start: float, length: float, whole: float, width: int):
    left, shown = bar(start, start + length, whole, width)

    assert left >= 0
    assert shown >= 1
    assert left + shown <= width
