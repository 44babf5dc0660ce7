"""Charts of Kibana's dashboards, in the format of its editor, Lens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kibana.source.objects import Reference, reference

PANEL_VERSION: Final = "8.10.1"
RECORDS: Final = "___records___"
"""Kibana's name for the number of documents."""
LAYER: Final = "lines"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel is, on a grid of 48 columns."""

    x: int
    y: int
    w: int
    h: int

    def build(self, panel_id: str) -> dict[str, Any]:
        """Return it as a panel has it."""
        return {"x": self.x, "y": self.y, "w": self.w, "h": self.h, "i": panel_id}


def over_time(label: str = "Time") -> dict[str, Any]:
    """Return the column of the time."""
    return {
        "label": label,
        "customLabel": True,
        "dataType": "date",
        "operationType": "date_histogram",
        "sourceField": "@timestamp",
        "isBucketed": True,
        "scale": "interval",
        "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
    }


def values_of(name: str, label: str, size: int = 10) -> dict[str, Any]:
    """Return the column of a field's most frequent values."""
    return {
        "label": label,
        "customLabel": True,
        "dataType": "string",
        "operationType": "terms",
        "sourceField": name,
        "isBucketed": True,
        "scale": "ordinal",
        "params": {
            "size": size,
            "orderBy": {"type": "column", "columnId": "count"},
            "orderDirection": "desc",
            "otherBucket": False,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
            "include": [],
            "exclude": [],
            "includeIsRegex": False,
            "excludeIsRegex": False,
        },
    }


def count(label: str = "Lines") -> dict[str, Any]:
    """Return the column of how many there are."""
    return {
        "label": label,
        "customLabel": True,
        "dataType": "number",
        "operationType": "count",
        "sourceField": RECORDS,
        "isBucketed": False,
        "scale": "ratio",
        "params": {"emptyAsNull": True},
    }


def chart(
    panel_id: str,
    title: str,
    place: Place,
    view: str,
    kind: str,
    columns: Mapping[str, dict[str, Any]],
    visualization: Mapping[str, Any],
    query: str = "",
) -> tuple[dict[str, Any], list[Reference]]:
    """Return a chart and what it refers to.

    Args:
        panel_id: Its id inside the dashboard.
        title: Its title.
        place: Where it is.
        view: The data view.
        kind: Lens' name of the kind of chart.
        columns: What is worked out, by id, in order.
        visualization: How that is drawn.
        query: In Kibana's query language.
    """
    name = f"indexpattern-datasource-layer-{LAYER}"
    layer = {"columns": dict(columns), "columnOrder": list(columns), "incompleteColumns": {}, "sampling": 1}
    attributes = {
        "title": title,
        "description": "",
        "type": "lens",
        "visualizationType": kind,
        "references": [reference("index-pattern", view, name)],
        "state": {
            "adHocDataViews": {},
            "datasourceStates": {
                "formBased": {"layers": {LAYER: layer}},
                "indexpattern": {"layers": {}},
                "textBased": {"layers": {}},
            },
            "filters": [],
            "internalReferences": [],
            "query": {"language": "kuery", "query": query},
            "visualization": dict(visualization),
        },
    }
    panel = {
        "version": PANEL_VERSION,
        "type": "lens",
        "gridData": place.build(panel_id),
        "panelIndex": panel_id,
        "embeddableConfig": {"attributes": attributes, "enhancements": {}, "hidePanelTitles": False},
        "title": title,
    }
    return panel, [reference("index-pattern", view, f"{panel_id}:{name}")]


def search_panel(panel_id: str, title: str, place: Place, search: str) -> tuple[dict[str, Any], list[Reference]]:
    """Return a table of what a saved search finds."""
    panel = {
        "version": PANEL_VERSION,
        "type": "search",
        "gridData": place.build(panel_id),
        "panelIndex": panel_id,
        "embeddableConfig": {"enhancements": {}},
        "panelRefName": f"panel_{panel_id}",
        "title": title,
    }
    return panel, [reference("search", search, f"{panel_id}:panel_{panel_id}")]


def bars(series: str, x: str, split: str | None = None) -> dict[str, Any]:
    """Return how bars are drawn.

    Args:
        series: Lens' name of the kind of bars.
        x: The column along the axis.
        split: The column that tells parts of a bar apart.
    """
    layer = {
        "layerId": LAYER,
        "layerType": "data",
        "seriesType": series,
        "xAccessor": x,
        "accessors": ["count"],
        "position": "top",
        "showGridlines": False,
        **({"splitAccessor": split} if split else {}),
    }
    sides = {"x": True, "yLeft": True, "yRight": True}
    return {
        "layers": [layer],
        "preferredSeriesType": series,
        "legend": {"isVisible": True, "position": "right"},
        "valueLabels": "hide",
        "fittingFunction": "None",
        "axisTitlesVisibilitySettings": {**sides, "x": False},
        "gridlinesVisibilitySettings": sides,
        "tickLabelsVisibilitySettings": sides,
        "labelsOrientation": {"x": 0, "yLeft": 0, "yRight": 0},
    }


def rows(columns: Sequence[str]) -> dict[str, Any]:
    """Return how a table is drawn."""
    return {"layerId": LAYER, "layerType": "data", "columns": [{"columnId": column} for column in columns]}


def metric() -> dict[str, Any]:
    """Return how a single number is drawn."""
    return {"layerId": LAYER, "layerType": "data", "metricAccessor": "count"}
