"""A dashboard turns red where an alert fires."""

import pytest

from grafana.source import limits as module
from grafana.source.limits import Limit, UnknownLimitError, limits, thresholds
from grafana.source.objectives import OBJECTIVES


def rule(name, expr, severity="warning"):
    return {"alert": name, "expr": expr, "labels": {"severity": severity}}


@pytest.fixture
def rules(monkeypatch):
    """Put rules in the place of the real ones."""

    def put(*made):
        monkeypatch.setattr(module, "rules", lambda: made)

    return put


@pytest.mark.parametrize(
    ("expr", "number", "value", "above"),
    [
        ("x > 0.2\n  and y >= 5", 0, 0.2, True),
        ("x > 0.2\n  and y >= 5", 1, 5, True),
        ("x > 5 * 60", 0, 300, True),
        ("x > 200 * 1024 * 1024", 0, 200 * 2**20, True),
        ("x < 3e9", 0, 3e9, False),
        ("x / (y > 0) > 0.9 and z", 1, 0.9, True),
        ("# more than 7 > 6\nx > bool 3", 0, 3, True),
    ],
)
def test_a_limit_is_read_from_the_rule(rules, expr, number, value, above):
    rules(rule("A", expr))

    assert limits("A", number) == [Limit(value, above, "orange")]


def test_an_alert_of_two_severities_has_two_limits(rules):
    rules(rule("A", "x > 1"), rule("A", "x > 2", "critical"))

    assert limits("A") == [Limit(1, above=True, color="orange"), Limit(2, above=True, color="red")]
    assert limits("A", severity="critical") == [Limit(2, above=True, color="red")]


@pytest.mark.parametrize(("name", "number"), [("B", 0), ("A", 1)])
def test_a_limit_that_is_gone_is_a_fault(rules, name, number):
    rules(rule("A", "x > 1"))

    with pytest.raises(UnknownLimitError):
        limits(name, number)


def steps(*given):
    return [(step.value, step.color) for step in thresholds(given).build().steps]


def test_colors_change_at_the_limits():
    orange, red = Limit(1, above=True, color="orange"), Limit(2, above=True, color="red")

    assert steps(red, orange) == [(None, "green"), (1, "orange"), (2, "red")]


def test_below_a_lower_limit_it_is_bad():
    orange, red = Limit(3, above=False, color="orange"), Limit(2, above=False, color="red")

    assert steps(orange, red) == [(None, "red"), (2, "orange"), (3, "green")]


def test_nothing_at_all_is_good_where_anything_is_bad():
    (_, green), (value, red) = steps(Limit(0, above=True, color="red"))

    assert (green, red) == ("green", "red")
    assert value > 0


def test_of_two_limits_at_one_value_the_graver_counts():
    orange, red = Limit(1, above=True, color="orange"), Limit(1, above=True, color="red")

    assert steps(red, orange) == steps(orange, red) == [(None, "green"), (1, "red")]


def test_upper_and_lower_limits_do_not_mix():
    with pytest.raises(ValueError, match="not both"):
        thresholds([Limit(1, above=True, color="red"), Limit(2, above=False, color="red")])


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.title)
def test_the_budget_is_the_one_that_the_alerts_burn(objective):
    assert [limit.value for limit in objective.burn_limits] == [14.4, 6, 3, 1]
