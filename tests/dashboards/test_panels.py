"""After a demo with faults every panel shows something, or is known to be empty when all is well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dashboards.explained import EXPLAINED
from tests.dashboards.grafana import Window, panels
from tests.dashboards.harness import DASHBOARDS, Harness, Shown, read


@pytest.fixture(scope="module")
def shown(harness: Harness) -> list[Shown]:
    return [panel for file in DASHBOARDS for panel in harness.dashboard(file)]


def test_no_panel_is_empty_without_a_reason(
    harness: Harness, shown: list[Shown], capsys: pytest.CaptureFixture[str]
) -> None:
    empty = [panel for panel in shown if not panel.has_data]
    explained = {panel.key: reason for panel in empty if (reason := _reason(harness, panel))}
    unexplained = [panel for panel in empty if panel.key not in explained]

    with capsys.disabled():
        print()
        for (dashboard, title), reason in sorted(explained.items()):
            print(f"  {dashboard}: {title}: {reason}")
        filled = len(shown) - len(empty)
        print(f"panels: {filled} with data, {len(explained)} explained, {len(unexplained)} empty")
    assert unexplained == []


def test_every_explained_panel_exists(shown: list[Shown]) -> None:
    assert set(EXPLAINED) <= {panel.key for panel in shown}


def test_every_annotation_can_be_asked_for(harness: Harness) -> None:
    found = {name for file in DASHBOARDS for name in harness.annotations(read(file))}

    assert "Starts and deployments" in found


def test_dots_on_graphs_lead_to_traces_that_exist(harness: Harness) -> None:
    checked = {file.stem: list(_dots(harness, file.stem)) for file in DASHBOARDS}

    assert {name for name, dots in checked.items() if dots} >= {"overview", "agents", "agent", "queue", "api"}
    for dots in checked.values():
        assert all(harness.trace(trace_id) for trace_id in dots)


def _dots(harness: Harness, uid: str) -> Iterator[str]:
    """Yield a trace for each panel that shows single observations."""
    document = read(next(file for file in DASHBOARDS if file.stem == uid))
    window = Window.of(document, harness.now)
    for panel in panels(document):
        found = harness.exemplars_of(panel, document, window)
        if found:
            yield found[-1]


def _reason(harness: Harness, panel: Shown) -> str | None:
    stand_in = harness.stand_in(panel)
    return f"a placeholder stands in for the image of {stand_in}" if stand_in else EXPLAINED.get(panel.key)
