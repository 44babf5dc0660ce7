"""The saved objects: data views with links, searches, and a dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agent_service.telemetry.contract import Field
from kibana.source import addresses, lens
from kibana.source.lens import Place
from kibana.source.objects import Filter, SavedObject, Search, dashboard, data_view

LINES: Final = "logs-agents"
REJECTED: Final = "logs-agents.rejected"
ERRORS: Final = f"{Field.LOG_LEVEL} : (error or critical)"

# The runs' length is kept as text, whose order is that of letters: "10" comes before "9". A number of two digits and
# more before the point starts with a digit and another one, and `:` is what follows `9` in that order.
SLOW: Final = Filter(
    "ran for 10 seconds or longer",
    {
        "bool": {
            "should": [
                {"range": {f"{Field.LABELS}.seconds": {"gte": f"{digit}0", "lt": f"{digit}:"}}}
                for digit in range(1, 10)
            ],
            "minimum_should_match": 1,
        }
    },
)


def saved_objects() -> Iterator[SavedObject]:
    """Yield every object; what others refer to comes first."""
    yield data_view(LINES, "Agents' log lines", "logs-agents-*", _links())
    yield data_view(REJECTED, "Rejected log lines", "logs-agents.rejected-*")
    for search in _searches():
        yield search.build()
    yield dashboard(
        "agents",
        "Agents' log lines",
        "How much is said, how bad it is, and what leads to the trace and the task behind it.",
        list(_panels()),
    )


def _links() -> dict[str, str]:
    """Return where the values of fields lead to."""
    trace = f"{addresses.JAEGER}/trace/{{{{rawValue}}}}"
    return {
        Field.FLAT_TRACE_ID.value: trace,
        Field.TRACE_ID.value: trace,
        Field.TASK_ID.value: f"{addresses.SERVICE}/console/tasks/{{{{rawValue}}}}",
        Field.WORKFLOW_ID.value: f"{addresses.SERVICE}/console/workflows/{{{{rawValue}}}}",
        Field.AGENT_NAME.value: f"{addresses.GRAFANA}/d/agent?var-agent={{{{rawValue}}}}",
    }


def _searches() -> Iterator[Search]:
    level, agent, task, trace = Field.LOG_LEVEL, Field.AGENT_NAME, Field.TASK_ID, Field.FLAT_TRACE_ID
    yield Search(
        "agents-all",
        "All log lines of the agents",
        "Every line, with the task that it belongs to.",
        LINES,
        "",
        [level, agent, task, Field.MESSAGE, trace],
    )
    yield Search(
        "agents-errors",
        "Errors of the agents",
        "Lines that tell of an error, with the trace and the task behind it.",
        LINES,
        ERRORS,
        [agent, task, Field.ERROR_TYPE, Field.ERROR_MESSAGE, Field.MESSAGE, trace],
    )
    yield Search(
        "agents-task",
        "One task",
        "What a task said, from its start to its end: put its id in the place of the star.",
        LINES,
        f"{task} : *",
        [level, agent, task, Field.MESSAGE, Field.ERROR_STACK_TRACE, trace],
        oldest_first=True,
    )
    yield Search(
        "agents-workflow",
        "One workflow",
        "What all tasks of a workflow said, from its start to its end: put its id in the place of the star.",
        LINES,
        f"{Field.WORKFLOW_ID} : *",
        [level, agent, task, Field.WORKFLOW_ID, Field.MESSAGE, trace],
        oldest_first=True,
    )
    yield Search(
        "agents-slow",
        "Slow tasks",
        "Runs of 10 seconds and more; `labels` has how long, and the trace where the time went.",
        LINES,
        f'{Field.MESSAGE} : "task finished"',
        [agent, task, Field.LABELS, trace],
        [SLOW],
    )
    yield Search(
        "agents-rejected",
        "Rejected log lines",
        "Lines that could not be stored, and why.",
        REJECTED,
        "",
        ["rejected.reason", "rejected.line"],
    )


def _panels() -> Iterator[tuple[dict[str, object], list[dict[str, str]]]]:
    by_level = lens.values_of(Field.LOG_LEVEL, "Level", 5)
    by_agent = lens.values_of(Field.AGENT_NAME, "Agent")
    yield lens.chart(
        "errors",
        "Errors",
        Place(0, 0, 8, 6),
        LINES,
        "lnsMetric",
        {"count": lens.count("Errors")},
        lens.metric(),
        ERRORS,
    )
    yield lens.chart(
        "rejected",
        "Rejected lines",
        Place(0, 6, 8, 6),
        REJECTED,
        "lnsMetric",
        {"count": lens.count("Rejected")},
        lens.metric(),
    )
    yield lens.chart(
        "volume",
        "Lines by level",
        Place(8, 0, 40, 12),
        LINES,
        "lnsXY",
        {"level": by_level, "time": lens.over_time(), "count": lens.count()},
        lens.bars("bar_stacked", "time", "level"),
    )
    yield lens.chart(
        "error-types",
        "Top errors",
        Place(0, 12, 24, 12),
        LINES,
        "lnsDatatable",
        {"type": lens.values_of(Field.ERROR_TYPE, "Error"), "agent": by_agent, "count": lens.count()},
        lens.rows(["type", "agent", "count"]),
    )
    yield lens.chart(
        "agents",
        "Lines by agent",
        Place(24, 12, 24, 12),
        LINES,
        "lnsXY",
        {"agent": by_agent, "level": by_level, "count": lens.count()},
        lens.bars("bar_horizontal_stacked", "agent", "level"),
    )
    yield lens.search_panel("latest", "Errors, with their traces and tasks", Place(0, 24, 48, 14), "agents-errors")
    yield lens.search_panel("slow", "Slow tasks", Place(0, 38, 48, 12), "agents-slow")
