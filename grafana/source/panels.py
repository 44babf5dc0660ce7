"""The kinds of panel, each with the looks that all dashboards share.

Every panel says in its description which question it answers; `docs/dashboards.md` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final, TypeVar

from grafana_foundation_sdk.builders import (
    common,
    heatmap,
    logs,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    HeatmapCellLayout,
    LegendDisplayMode,
    LegendPlacement,
    LogsSortOrder,
    ScaleDistribution,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataTransformerConfig,
    DynamicConfigValue,
    ValueMap,
    ValueMappingResult,
)

from grafana.source import addresses
from grafana.source.limits import Limit, thresholds
from grafana.source.queries import Query, rows

Panel = stat.Panel | timeseries.Panel | table.Panel | logs.Panel | heatmap.Panel | statetimeline.Panel
_P = TypeVar("_P", stat.Panel, timeseries.Panel, table.Panel, logs.Panel, heatmap.Panel, statetimeline.Panel)

FULL: Final = 24
HALF: Final = 12
THIRD: Final = 8
QUARTER: Final = 6
STAT_HEIGHT: Final = 4
HEIGHT: Final = 8
TALL: Final = 11

SECONDS: Final = "s"
BYTES: Final = "bytes"
BYTES_PER_SECOND: Final = "Bps"
RATIO: Final = "percentunit"
PER_SECOND: Final = "cps"
COUNT: Final = "short"
CORES: Final = "none"
NOTHING: Final = "none"
"""Shown where nothing happened that could be measured."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where a panel leads to."""

    title: str
    url: str

    def build(self) -> DashboardLink:
        """Return it as the SDK has it; what is not Grafana opens in a tab of its own."""
        link = DashboardLink(self.title).type(DashboardLinkType.LINK).url(self.url).tags([])
        return link.target_blank(not self.url.startswith("/"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers in a table.

    Attributes:
        title: Its heading.
        expr: PromQL whose labels are those of the table.
        unit: Its unit.
        limits: Where it is colored.
        decimals: How many are shown, where Grafana's own choice is poor.
    """

    title: str
    expr: str
    unit: str = COUNT
    limits: Sequence[Limit] = ()
    decimals: int | None = None


def number(
    title: str,
    question: str,
    *queries: Query,
    unit: str = COUNT,
    limits: Sequence[Limit] = (),
    alerts: Sequence[str] = (),
    links: Sequence[Link] = (),
    words: Mapping[str, str] | None = None,
    decimals: int | None = None,
    width: int = 4,
) -> stat.Panel:
    """Return one large number, colored by its limits.

    Args:
        title: The title.
        question: Which question the panel answers.
        queries: The queries.
        unit: The unit.
        limits: Where the color changes.
        alerts: The alerts that watch the same; their runbooks are linked.
        links: Where else it leads to.
        words: What to show instead of certain values.
        decimals: How many are shown.
        width: Of the 24 columns of a dashboard.
    """
    panel = stat.Panel().color_mode(BigValueColorMode.BACKGROUND if limits else BigValueColorMode.NONE)
    panel.graph_mode(BigValueGraphMode.NONE).thresholds(thresholds(limits)).unit(unit)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).no_value(NOTHING)
    if words:
        panel.mappings([_words(words)])
    if decimals is not None:
        panel.decimals(decimals)
    return _dressed(panel, title, question, queries, width, STAT_HEIGHT, alerts, links)


def series(
    title: str,
    question: str,
    *queries: Query,
    unit: str = COUNT,
    limits: Sequence[Limit] = (),
    alerts: Sequence[str] = (),
    links: Sequence[Link] = (),
    stacked: bool = False,
    bars: bool = False,
    logarithmic: bool = False,
    top: float | None = None,
    bottom: float | None = 0,
    width: int = HALF,
    height: int = HEIGHT,
) -> timeseries.Panel:
    """Return lines over time, with a dashed line at each limit."""
    panel = timeseries.Panel().unit(unit).line_width(1).fill_opacity(30 if stacked or bars else 8)
    panel.show_points(VisibilityMode.NEVER).tooltip(
        common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    )
    panel.legend(_legend())
    if bottom is not None:
        panel.min(bottom)
    if top is not None:
        panel.max(top)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if bars:
        panel.draw_style(GraphDrawStyle.BARS).fill_opacity(80)
    if logarithmic:
        panel.scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10))
    if limits:
        panel.thresholds(thresholds(limits))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return _dressed(panel, title, question, queries, width, height, alerts, links)


def heat(title: str, question: str, *queries: Query, unit: str = SECONDS, width: int = HALF) -> heatmap.Panel:
    """Return a histogram over time, with exemplars on it."""
    panel = heatmap.Panel().calculate(False)
    panel.rows_frame(_rows_frame())
    panel.y_axis(heatmap.YAxisConfig().unit(unit))
    panel.show_legend()
    return _dressed(panel, title, question, queries, width, HEIGHT, (), ())


def states(
    title: str,
    question: str,
    *queries: Query,
    words: Mapping[str, tuple[str, str]],
    alerts: Sequence[str] = (),
    width: int = FULL,
    height: int = HEIGHT,
) -> statetimeline.Panel:
    """Return a band for each series, colored by its value.

    Args:
        title: The title.
        question: Which question the panel answers.
        queries: The queries.
        words: What a value is called and its color.
        alerts: The alerts that watch the same.
        width: Of the 24 columns.
        height: In rows.
    """
    mapping = ValueMap({value: ValueMappingResult(text, color) for value, (text, color) in words.items()})
    panel = (
        statetimeline.Panel()
        .fill_opacity(70)
        .line_width(0)
        .mappings([mapping])
        .show_value(VisibilityMode.NEVER)
        .row_height(0.8)
        .legend(_legend())
    )
    return _dressed(panel, title, question, queries, width, height, alerts, ())


def sheet(
    title: str,
    question: str,
    by: Mapping[str, str],
    *columns: Column,
    cell_links: Mapping[str, Link] | None = None,
    alerts: Sequence[str] = (),
    links: Sequence[Link] = (),
    width: int = FULL,
    height: int = HEIGHT,
    hide: Sequence[str] = (),
) -> table.Panel:
    """Return a table: a row for each set of labels, a column for each query.

    Args:
        title: The title.
        question: Which question the panel answers.
        by: The labels that name a row, and their headings.
        columns: The numbers.
        cell_links: By heading, where a cell leads to.
        alerts: The alerts that watch the same.
        links: Where else it leads to.
        width: Of the 24 columns.
        height: In rows.
        hide: Columns to leave out, by their name.
    """
    panel = _table()
    values = [f"Value #{letter}" for letter, _ in zip(ascii_uppercase, columns, strict=False)]
    if len(columns) == 1:
        values = ["Value"]  # without a second query Grafana does not number it
    names = {**by, **{value: column.title for value, column in zip(values, columns, strict=True)}}
    if len(columns) > 1:
        panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(_organize(names, hide))
    for column in columns:
        panel.override_by_name(column.title, _column_looks(column))
    for heading, link in (cell_links or {}).items():
        panel.override_by_name(heading, [_cell_link(link)])
    if columns and columns[0].title not in hide:
        panel.sort_by([common.TableSortByFieldState().display_name(columns[0].title).desc(True)])
    return _dressed(panel, title, question, [rows(column.expr) for column in columns], width, height, alerts, links)


def log_table(
    title: str,
    question: str,
    query: Query,
    names: Mapping[str, str],
    *,
    cell_links: Mapping[str, Link] | None = None,
    width: int = HALF,
    height: int = HEIGHT,
) -> table.Panel:
    """Return a table of counts of log lines.

    Args:
        title: The title.
        question: Which question the panel answers.
        query: The query.
        names: The fields and their headings; `Count` is the number of lines.
        cell_links: By heading, where a cell leads to.
        width: Of the 24 columns.
        height: In rows.
    """
    panel = _table().with_transformation(_organize(names, ()))
    for heading, link in (cell_links or {}).items():
        panel.override_by_name(heading, [_cell_link(link)])
    return _dressed(panel, title, question, [query], width, height, (), ())


def trace_table(
    title: str, question: str, query: Query, *, links: Sequence[Link] = (), width: int = FULL, height: int = HEIGHT
) -> table.Panel:
    """Return a table of traces; Grafana links each to itself."""
    panel = _table()
    return _dressed(panel, title, question, [query], width, height, (), links)


def log_panel(
    title: str,
    question: str,
    query: Query,
    *,
    links: Sequence[Link] = (),
    width: int = FULL,
    height: int = TALL,
) -> logs.Panel:
    """Return log lines, the newest first."""
    panel = logs.Panel().show_time(True).wrap_log_message(True).enable_log_details(True)
    panel.sort_order(LogsSortOrder.DESCENDING)
    return _dressed(panel, title, question, [query], width, height, (), links)


def _dressed(
    panel: _P,
    title: str,
    question: str,
    queries: Sequence[Query],
    width: int,
    height: int,
    alerts: Sequence[str],
    links: Sequence[Link],
) -> _P:
    """Give a panel what every one has."""
    panel.title(title).description(question).span(width).height(height)
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        built = query.build()
        built.ref_id = letter  # type: ignore[attr-defined]
        panel.with_target(_Ready(built))
    leads = (*links, *(Link(f"Runbook: {alert}", addresses.runbook(alert)) for alert in alerts))
    if leads:
        panel.links([lead.build() for lead in leads])
    panel.datasource(queries[0].build().datasource)  # type: ignore[attr-defined]
    return panel


@dataclass(slots=True)
class _Ready(Query):
    """A query that is built already."""

    query: Any

    def build(self) -> Any:
        return self.query


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )


def _rows_frame() -> heatmap.RowsHeatmapOptions:
    return heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.LE)


def _words(words: Mapping[str, str]) -> ValueMap:
    return ValueMap({value: ValueMappingResult(text) for value, text in words.items()})


def _table() -> table.Panel:
    return table.Panel().show_header(True).filterable(False)


def _organize(names: Mapping[str, str], hide: Sequence[str]) -> DataTransformerConfig:
    options = {
        "excludeByName": dict.fromkeys(("Time", *hide), True),
        "indexByName": {name: place for place, name in enumerate(names)},
        "renameByName": {name: heading for name, heading in names.items() if name != heading},
    }
    return DataTransformerConfig(id_val="organize", options=options)


def _column_looks(column: Column) -> list[DynamicConfigValue]:
    looks = [DynamicConfigValue("unit", column.unit)]
    if column.decimals is not None:
        looks.append(DynamicConfigValue("decimals", column.decimals))
    if column.limits:
        looks.append(DynamicConfigValue("thresholds", thresholds(column.limits).build()))
        looks.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    return looks


def _cell_link(link: Link) -> DynamicConfigValue:
    target = {"title": link.title, "url": link.url, "targetBlank": not link.url.startswith("/")}
    return DynamicConfigValue("links", [target])
