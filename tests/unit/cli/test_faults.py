"""The catalog of faults, held to the files that it speaks of."""

from __future__ import annotations

from datetime import timedelta

import pytest
import yaml

from agent_service.agents import AgentRegistry, agent_modules
from agent_service.cli.errors import CommandError
from agent_service.cli.faults.catalog import FAULTS, LONGEST_SECONDS, Fault, check_factor, check_seconds, find
from agent_service.cli.faults.parts import WORDS
from agent_service.cli.faults.running import text
from stack.alert_catalog import ALERTMANAGER, RUNBOOKS, Alert, alerts, names, patterns, seconds

PROMETHEUS = {alert.name: [other for other in alerts() if other.name == alert.name] for alert in alerts()}
PATTERNS = {pattern.name: pattern for pattern in patterns()}
SCRAPE = timedelta(seconds=10)

each = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


def rule_of(fault: Fault) -> Alert:
    return next(alert for alert in PROMETHEUS[fault.alert] if alert.labels["severity"] == fault.severity)


def test_there_is_a_fault_for_everything_that_can_be_tried_out() -> None:
    assert list(FAULTS) == [
        "slow", "failures", "queue", "cpu", "memory", "crash", "log-pattern", "worker-down", "valkey-down",
    ]  # fmt: skip


@each
def test_every_alert_that_is_named_exists_and_has_a_runbook(fault: Fault) -> None:
    assert {fault.alert, *fault.also} <= set(names())
    for name in (fault.alert, *fault.also):
        assert (RUNBOOKS / f"{name}.md").is_file(), name


@each
def test_the_delay_is_that_of_the_rule(fault: Fault) -> None:
    if fault.alert in PATTERNS:
        pattern = PATTERNS[fault.alert]
        assert (pattern.severity, pattern.threshold, fault.holds) == (fault.severity, 1, timedelta(0))
    else:
        assert fault.holds == timedelta(seconds=seconds(rule_of(fault).rule.get("for", "0s")))


@each
def test_the_notice_takes_two_scrapes_and_the_wait_of_the_route(fault: Fault) -> None:
    route = yaml.safe_load((ALERTMANAGER / "alertmanager.yml").read_text())["route"]
    waits = [
        child.get("group_wait", route["group_wait"])
        for child in route["routes"]
        if child["matchers"] == [f"severity = {fault.severity}"]
    ]

    assert fault.told == 2 * SCRAPE + timedelta(seconds=seconds(waits[0]))


@each
def test_a_fault_lasts_until_its_alert_is_heard_of_and_not_without_end(fault: Fault) -> None:
    assert fault.delay + 3 * SCRAPE <= fault.lasts <= timedelta(seconds=LONGEST_SECONDS)


@each
def test_a_fault_is_tasks_for_an_agent_that_takes_them_or_a_part_that_goes(fault: Fault) -> None:
    assert (fault.load is None) != (fault.part is None)
    if fault.load:
        registry = AgentRegistry(agent_modules((), faults=True))
        registry[fault.load.agent].input_model.model_validate(fault.load.input(fault.lasts))
        registry[fault.load.agent].input_model.model_validate(fault.scaled(0.01).load.input(fault.lasts))
    else:
        assert fault.part in WORDS


@each
def test_the_document_tells_what_the_catalog_says(fault: Fault) -> None:
    ends = f"{text(fault.ends)} later" if fault.ends else "soon after"
    alert = f"[{fault.alert}](runbooks/{fault.alert}.md) ({fault.severity})"
    row = (f"`{fault.name}`", fault.does, alert, text(fault.delay), text(fault.lasts), ends)

    assert f"| {' | '.join(row)} |" in (RUNBOOKS.parent / "faults.md").read_text().splitlines()


def test_a_scaled_fault_takes_a_share_of_every_time() -> None:
    fault, scaled = FAULTS["slow"], FAULTS["slow"].scaled(0.1)

    assert (scaled.builds, scaled.holds) == (fault.builds / 10, timedelta(minutes=1))
    assert (scaled.load.every, scaled.load.runs) == (timedelta(seconds=1), timedelta(seconds=7.5))
    assert scaled.load.first == fault.load.first
    assert fault.scaled(1) is fault


def test_an_unknown_fault_is_answered_with_the_names() -> None:
    with pytest.raises(CommandError, match=r"there is no fault 'fire'; there are slow, failures, .*valkey-down$"):
        find("fire")


@pytest.mark.parametrize("wrong", [0, -5, 1801, float("nan")])
def test_a_time_out_of_bounds_is_refused(wrong: float) -> None:
    with pytest.raises(CommandError, match="a fault lasts 1 to 1800 seconds"):
        check_seconds(wrong)


@pytest.mark.parametrize("wrong", [0, 1.1, float("nan")])
def test_a_factor_out_of_bounds_is_refused(wrong: float) -> None:
    with pytest.raises(CommandError, match=r"the factor is between 0\.01 and 1"):
        check_factor(wrong)
