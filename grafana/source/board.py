"""A dashboard: rows of panels on a grid, with the variables, links and annotations that all of them have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders.dashboard import (
    AdHocVariable,
    ConstantVariable,
    Dashboard,
    DashboardLink,
    QueryVariable,
    Row,
    TextBoxVariable,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    GridPos,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana.source import addresses
from grafana.source.panels import FULL, Panel
from grafana.source.queries import ELASTICSEARCH, PROMETHEUS, TIME_FIELD

TAG: Final = "agents"
"""Marks our dashboards, so that each can link to all others."""
ALL: Final = "$__all"

Variable = Builder[VariableModel]


@dataclass(frozen=True, slots=True)
class Section:
    """A row with a title.

    Attributes:
        title: Its title.
        panels: Its panels, from left to right and line by line.
    """

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard.

    Attributes:
        uid: By which it is found; links and alerts name it.
        title: Its title.
        description: What it is for, in one sentence.
        sections: Its rows; the first answers whether all is well.
        variables: What can be chosen.
        since: How far back it looks when it is opened.
    """

    uid: str
    title: str
    description: str
    sections: Sequence[Section]
    variables: Sequence[Variable] = field(default_factory=tuple)
    since: str = "now-1h"

    def build(self) -> dict[str, Any]:
        """Return the dashboard's JSON."""
        made = Dashboard(self.title).uid(self.uid).description(self.description).tags([TAG]).readonly()
        made.timezone("browser").time(self.since, "now").refresh("30s").tooltip(DashboardCursorSync.CROSSHAIR)
        made.version(1)
        for variable in (*self.variables, *_addresses()):
            made.with_variable(variable)
        for link in _links():
            made.link(link)
        made.annotations([_Annotation(each) for each in ANNOTATIONS])
        for number, (panel, place) in enumerate(self._placed(), 1):
            panel.id(number)
            panel.grid_pos(place)
            if isinstance(panel, Row):
                made.with_row(panel)
            else:
                made.with_panel(panel)
        document: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
        return document

    def _placed(self) -> Iterator[tuple[Panel | Row, GridPos]]:
        """Yield every row and panel with its place: side by side while there is room, then on the next line."""
        y = 0
        for section in self.sections:
            yield Row(section.title), GridPos(h=1, w=FULL, x=0, y=y)
            x, y, line_height = 0, y + 1, 0
            for panel in section.panels:
                size = panel.build().grid_pos or GridPos()
                if x + size.w > FULL:
                    x, y, line_height = 0, y + line_height, 0
                yield panel, GridPos(h=size.h, w=size.w, x=x, y=y)
                x, line_height = x + size.w, max(line_height, size.h)
            y += line_height


def label_variable(name: str, label: str, metric: str, *, several: bool = True) -> Variable:
    """Return a choice among the values of a label.

    Args:
        name: The variable, and the label.
        label: What is shown.
        metric: Whose label it is.
        several: Whether more than one can be chosen; then all are at first, else the first one is.
    """
    variable = QueryVariable(name).label(label).datasource(PROMETHEUS)
    variable.query({"query": f"label_values({metric}, {name})", "refId": "A"})
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    if several:
        variable.multi(True).include_all(True).all_value(".*").current(VariableOption(True, "All", ALL))
    return variable


def field_variable(name: str, label: str, log_field: str) -> Variable:
    """Return a choice among the values of a field of the log lines; all are chosen at first."""
    variable = QueryVariable(name).label(label).datasource(ELASTICSEARCH)
    variable.query(json.dumps({"find": "terms", "field": log_field, "size": 100}))
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    return variable.multi(True).include_all(True).all_value("*").current(VariableOption(True, "All", ALL))


def text_variable(name: str, label: str, value: str = "*") -> Variable:
    """Return a field to type into."""
    return TextBoxVariable(name).label(label).default_value(value)


def filter_variable(name: str, label: str) -> Variable:
    """Return filters on any field of the log lines, none at first."""
    return AdHocVariable(name).label(label).datasource(ELASTICSEARCH)


class LabeledAnnotation(AnnotationQuery):
    """An annotation with the options of its source, which the SDK has no names for.

    Attributes:
        options: How the source turns what it finds into a mark.
    """

    def __init__(self, name: str, color: str, source: DataSourceRef, **options: str | bool) -> None:
        super().__init__(name=name, datasource=source, enable=True, icon_color=color)
        self.options = options

    def to_json(self) -> dict[str, object]:
        """Return it as the dashboard has it."""
        return {**super().to_json(), **self.options}


ANNOTATIONS: Final = (
    # The service has no event of its own for a deployment; whatever else starts a process is worth a mark too.
    LabeledAnnotation(
        "Starts and deployments",
        "blue",
        ELASTICSEARCH,
        query='message:"worker takes tasks" OR message:"the API listens"',
        timeField=TIME_FIELD,
        textField="message",
        tagsField="service.version",
    ),
    LabeledAnnotation(
        "Critical alerts",
        "red",
        PROMETHEUS,
        expr='ALERTS{alertstate="firing", severity="critical"}',
        titleFormat="{{alertname}}",
        tagKeys="severity,team",
        step="30s",
    ),
    LabeledAnnotation(
        "Open incidents",
        "orange",
        PROMETHEUS,
        expr="max by (severity, team) (incidents_open) > 0",
        titleFormat="Incident of {{team}}",
        tagKeys="severity,team",
        step="30s",
    ),
)
"""What is drawn over every graph."""


@dataclass(slots=True)
class _Annotation(Builder[AnnotationQuery]):
    made: AnnotationQuery

    def build(self) -> AnnotationQuery:
        return self.made


def _addresses() -> Iterator[Variable]:
    for name, url in addresses.ADDRESSES.items():
        yield _Constant(name, url)


@dataclass(slots=True)
class _Constant(Builder[VariableModel]):
    """A constant that has its value from the first moment on, not only once Grafana has looked at it."""

    name: str
    value: str

    def build(self) -> VariableModel:
        made = ConstantVariable(self.name).value(self.value).build()
        made.current = VariableOption(True, self.value, self.value)
        return made


def _links() -> Iterator[DashboardLink]:
    yield (
        DashboardLink("Dashboards")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .keep_time(True)
        .icon("external link")
    )
    outside = {
        "Runbooks": f"{addresses.SERVICE}/runbooks",
        "Log lines in Kibana": f"{addresses.KIBANA}/app/discover#/view/agents-all?{addresses.KIBANA_TIME}",
        "Traces in Jaeger": f"{addresses.JAEGER}/search?service=agent-api&{addresses.JAEGER_TIME}",
        "Alerts": "/alerting/groups?alertmanager=Alertmanager",
    }
    for title, url in outside.items():
        link = DashboardLink(title).type(DashboardLinkType.LINK).url(url).icon("external link").tags([])
        yield link.target_blank(True)
