"""Where a task or a workflow is seen in the console and in the tools around the service, with its ids and its time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from agent_service.settings import Settings
from agent_service.telemetry.contract import Field

MARGIN = timedelta(minutes=1)
"""What is shown before the first and after the last moment."""
GRAFANA_DASHBOARD = "agents"
"""The uid of the dashboard of all agents."""
AGENT_DASHBOARD = "agent"
"""The uid of the dashboard of one agent; it can be narrowed down to a task's log lines."""
KIBANA_SEARCH = "agents-all"
"""The id of the saved search over all log lines."""


@dataclass(frozen=True, slots=True)
class Links:
    """Makes links to the console and to the tools whose base URLs are set; in the embedded form that may be none.

    Attributes:
        api_url: Base URL of the API, whose console it is.
        grafana_url: Base URL of Grafana, as a browser reaches it.
        kibana_url: Base URL of Kibana.
        jaeger_url: Base URL of Jaeger.
    """

    api_url: str | None = None
    grafana_url: str | None = None
    kibana_url: str | None = None
    jaeger_url: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Links:
        """Return what the settings name."""
        urls = (settings.api_url, settings.grafana_url, settings.kibana_url, settings.jaeger_url)
        return cls(*(url.rstrip("/") if url else None for url in urls))

    def to_task(
        self, task_id: str, agent: str, trace_id: str | None, begin: datetime, end: datetime | None
    ) -> dict[str, str]:
        """Return the links of a task.

        Args:
            task_id: Its id.
            agent: Its agent, which Grafana shows.
            trace_id: Its trace.
            begin: When it was submitted.
            end: When it ended, or None while it has not.
        """
        page = f"{AGENT_DASHBOARD}?var-agent={quote(agent)}&var-task={quote(task_id)}"
        return self._console("tasks", task_id) | self._links(Field.TASK_ID, task_id, page, trace_id, begin, end)

    def to_workflow(
        self, workflow_id: str, trace_id: str | None, begin: datetime, end: datetime | None
    ) -> dict[str, str]:
        """Return the links of a workflow; Grafana shows all agents."""
        page = f"{GRAFANA_DASHBOARD}?var-agent=$__all"
        return self._console("workflows", workflow_id) | self._links(
            Field.WORKFLOW_ID, workflow_id, page, trace_id, begin, end
        )

    def _console(self, kind: str, id_: str) -> dict[str, str]:
        return {"console": f"{self.api_url}/console/{kind}/{id_}"} if self.api_url else {}

    def _links(
        self, field: Field, value: str, page: str, trace_id: str | None, begin: datetime, end: datetime | None
    ) -> dict[str, str]:
        links = {}
        if self.grafana_url:
            until = _milliseconds(end + MARGIN) if end else "now"
            window = f"from={_milliseconds(begin - MARGIN)}&to={until}"
            links["grafana"] = f"{self.grafana_url}/d/{page}&{window}"
        if self.kibana_url:
            links["kibana"] = f"{self.kibana_url}/app/discover#/view/{KIBANA_SEARCH}?{_rison(field, value, begin, end)}"
        if self.jaeger_url and trace_id:
            links["jaeger"] = f"{self.jaeger_url}/trace/{trace_id}"
        return links


def _milliseconds(moment: datetime) -> str:
    return str(round(moment.timestamp() * 1000))


def _rison(field: Field, value: str, begin: datetime, end: datetime | None) -> str:
    """Return Kibana's state in a URL: the time window and a query, in the notation that it calls Rison."""
    since = (begin - MARGIN).isoformat()
    until = (end + MARGIN).isoformat() if end else "now"
    query = quote(f'{field}:"{value}"', safe=":")
    return f"_g=(time:(from:'{quote(since)}',to:'{quote(until)}'))&_a=(query:(language:kuery,query:'{query}'))"
