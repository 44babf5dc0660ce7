"""The stack's files with other times."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_service.incidents import load_policy
from stack.alert_catalog import ALERTMANAGER
from stack.engine import REPOSITORY
from stack.names import rules
from stack.scaled import KEPT_LIMITS, LIMITS, Scale, ScaleError, duration_text, milliseconds, write_scaled
from tests.unit.rules.programs import run_all

FACTOR = 0.1
SECOND = 1_000
RANGE = re.compile(r"\[([0-9a-z]+)\]|offset ([0-9a-z]+)")
IN_SECONDS = re.compile(r"_seconds(?!_total|_count|_sum)\b|_seconds_bucket|:p95_")


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scaled")
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    write_scaled(folder, FACTOR, quiet_hours=False)
    return folder


def groups(root: Path) -> Iterator[dict[str, Any]]:
    for file in sorted((root / "prometheus" / "rules").glob("*.yml")):
        yield from yaml.safe_load(file.read_text())["groups"]


@pytest.mark.parametrize(
    ("text", "number"), [("1h30m", 5_400_000), ("500ms", 500), ("10s", 10_000), ("1d", 86_400_000)]
)
def test_a_duration_is_read_as_prometheus_does(text: str, number: int) -> None:
    assert milliseconds(text) == number


@pytest.mark.parametrize(("number", "text"), [(90_000, "1m30s"), (1_500, "1s500ms"), (86_400_000, "24h"), (0, "0s")])
def test_a_duration_is_written_as_prometheus_reads_it(number: int, text: str) -> None:
    assert duration_text(number) == text


def test_a_factor_of_one_changes_nothing(tmp_path: Path) -> None:
    written = write_scaled(tmp_path, 1)

    names = [str(file.relative_to(tmp_path)) for file in written]
    sources = {"escalation.toml": "agent_service/incidents/escalation.toml"}
    assert len(names) > 20
    for name in set(names) - {"docker-compose.yml"}:
        assert (tmp_path / name).read_text() == (REPOSITORY / sources.get(name, name)).read_text(), name


def test_promtool_finds_no_fault_in_the_scaled_rules(scaled: Path) -> None:
    [(code, output)] = run_all(
        "promtool", [["check", "config", "--lint=all", "--lint-fatal", "prometheus/prometheus.yml"]], scaled
    )

    assert code == 0, output


def test_amtool_finds_no_fault_in_the_scaled_configuration(scaled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "alertmanager"
    shutil.copytree(ALERTMANAGER, folder)
    shutil.copy(scaled / "alertmanager" / "alertmanager.yml", folder)
    tmp_path.chmod(0o755)

    [(code, output)] = run_all("amtool", [["check-config", "alertmanager.yml"]], folder)

    assert code == 0, output


def windows(expression: str) -> list[int]:
    return [milliseconds(window or offset) for window, offset in RANGE.findall(expression)]


def test_every_time_of_a_rule_is_a_tenth(scaled: Path) -> None:
    for before, after in zip(groups(REPOSITORY), groups(scaled), strict=True):
        if "interval" in before:
            assert milliseconds(after["interval"]) == milliseconds(before["interval"]) * FACTOR
        for old, new in zip(before["rules"], after["rules"], strict=True):
            for time in ("for", "keep_firing_for"):
                assert milliseconds(new.get(time, "0s")) == milliseconds(old.get(time, "0s")) * FACTOR, old
            for large, small in zip(windows(old["expr"]), windows(new["expr"]), strict=True):
                assert small == max(large * FACTOR, 4 * SECOND), new["expr"]


def test_nothing_but_times_is_changed(scaled: Path) -> None:
    for before, after in zip(groups(REPOSITORY), groups(scaled), strict=True):
        for old, new in zip(before["rules"], after["rules"], strict=True):
            assert old.get("annotations") == new.get("annotations")
            assert old.get("labels") == new.get("labels")
            assert {*old} == {*new}
            bare = RANGE.sub("[]", new["expr"])
            if old.get("alert") in LIMITS:
                bare = bare.replace(f"{FACTOR} * ", "")
            assert bare == RANGE.sub("[]", old["expr"])


def test_limits_that_are_durations_are_scaled(scaled: Path) -> None:
    text = "".join(rule["expr"] for group in groups(scaled) for rule in group["rules"])

    assert "agent_oldest_running_task_seconds) > 0.1 * 5 * 60" in text
    assert "> 0.1 * 15 * 60" in text
    assert 'agent_queue_tasks{state="queued"} >= 20' in text


def test_of_every_alert_about_durations_it_is_decided_whether_its_limit_is_scaled() -> None:
    about = {rule["alert"] for _, rule in rules() if "alert" in rule and IN_SECONDS.search(rule["expr"])}

    assert about - {"AgentCpuHigh"} <= {*LIMITS, *KEPT_LIMITS}
    assert not {*LIMITS} & {*KEPT_LIMITS}


def test_a_limit_that_the_rules_no_longer_have_is_told(tmp_path: Path) -> None:
    text = (REPOSITORY / "prometheus" / "rules" / "agents.yml").read_text()

    with pytest.raises(ScaleError, match="the alert AgentSlow has no limit > 60"):
        Scale(FACTOR, 10 * SECOND).rules(text.replace("p95_5m > 60", "p95_5m > 90"))


def test_a_window_spans_four_scrapes_at_least() -> None:
    assert "[4s]" in Scale(0.01, 10 * SECOND).rules("        expr: rate(some_total[5m])")
    assert "[20s]" in Scale(0.5, 10 * SECOND).rules("        expr: rate(some_total[30s])")
    assert "[30s]" in Scale(0.9, 10 * SECOND).rules("        expr: rate(some_total[30s])"), "never longer than it was"


def test_scrapes_are_a_second_apart_at_least_and_time_out_before_the_next() -> None:
    text = (
        "scrape_interval: 10s\nscrape_timeout: 5s\n  scrape_interval: 1m\n  scrape_timeout: 10s\n# scrape_timeout: 5s\n"
    )

    assert Scale(0.1, 10 * SECOND).prometheus(text).splitlines() == [
        "scrape_interval: 1s", "scrape_timeout: 1s", "  scrape_interval: 6s", "  scrape_timeout: 6s",
        "# scrape_timeout: 5s",
    ]  # fmt: skip
    assert "scrape_interval: 1s" in Scale(0.01, 10 * SECOND).prometheus(text)


def test_alertmanager_waits_a_tenth_and_keeps_its_markers(scaled: Path) -> None:
    before = (ALERTMANAGER / "alertmanager.yml").read_text()
    after = (scaled / "alertmanager" / "alertmanager.yml").read_text()

    route = yaml.safe_load(after)["route"]
    assert (route["group_wait"], route["group_interval"], route["repeat_interval"]) == ("1s", "6s", "24m")
    assert yaml.safe_load(after)["global"]["resolve_timeout"] == "30s"
    assert after.count("# only with") == before.count("# only with")
    assert yaml.safe_load(after)["receivers"] == yaml.safe_load(before)["receivers"]


def test_quiet_hours_stay_unless_they_are_not_wanted(scaled: Path, tmp_path: Path) -> None:
    write_scaled(tmp_path, FACTOR)

    assert "mute_time_intervals" in (tmp_path / "alertmanager" / "alertmanager.yml").read_text()
    assert "mute_time_intervals" not in (scaled / "alertmanager" / "alertmanager.yml").read_text()


def test_the_escalation_comes_after_a_tenth_of_the_minutes(scaled: Path) -> None:
    before, after = load_policy(), load_policy(scaled / "escalation.toml")

    for severity in ("critical", "warning"):
        steps = [step.after_minutes * FACTOR for step in before.steps(severity, "agents")]
        assert [step.after_minutes for step in after.steps(severity, "agents")] == pytest.approx(steps)


def test_log_patterns_are_looked_for_more_often_in_less_time(scaled: Path) -> None:
    main = yaml.safe_load((scaled / "log_alerts" / "elastalert.yml").read_text())
    rule = yaml.safe_load((scaled / "log_alerts" / "rules" / "LogErrorBurst.yml").read_text())

    assert main["run_every"] == {"seconds": 1}
    assert main["buffer_time"] == {"minutes": 2}, "how late a line may come has nothing to do with it"
    assert (rule["timeframe"], rule["realert"], rule["num_events"]) == ({"seconds": 30}, {"seconds": 3}, 50)


def test_the_overlay_puts_every_file_into_its_place(scaled: Path) -> None:
    overlay = yaml.safe_load((scaled / "docker-compose.yml").read_text())["services"]
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]

    for service, changes in overlay.items():
        places = {volume.split(":")[1] for volume in compose[service]["volumes"]}
        for volume in changes["volumes"]:
            source, place, _ = volume.split(":")
            assert Path(source).exists(), source
            assert place in places or service == "api", place


@pytest.mark.parametrize("factor", [0, -1, 1.5, float("nan")])
def test_a_factor_out_of_range_is_refused(tmp_path: Path, factor: float) -> None:
    with pytest.raises(ScaleError, match=r"the factor is between 0\.01 and 1"):
        write_scaled(tmp_path, factor)

    assert list(tmp_path.iterdir()) == []
