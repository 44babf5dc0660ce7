"""The links of a task carry its ids and its time."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

from agent_service.settings import Settings
from agent_service.tasks.links import Links

BEGIN = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
END = datetime(2026, 3, 4, 12, 5, tzinfo=UTC)
LINKS = Links.of(
    Settings(
        grafana_url="http://localhost:3000/", kibana_url="http://localhost:5601", jaeger_url="http://localhost:16686"
    )
)


def test_each_tool_is_opened_at_the_task_and_its_time():
    links = LINKS.to_task("t-1", "word-count", "ab" * 16, BEGIN, END)
    assert links["jaeger"] == f"http://localhost:16686/trace/{'ab' * 16}"
    grafana = urlsplit(links["grafana"])
    assert grafana.path == "/d/agent"
    assert parse_qs(grafana.query) == {
        "var-agent": ["word-count"],
        "var-task": ["t-1"],
        "from": [str(int(BEGIN.timestamp() - 60) * 1000)],
        "to": [str(int(END.timestamp() + 60) * 1000)],
    }
    kibana = unquote(links["kibana"])
    assert "query:'task.id:\"t-1\"'" in kibana
    assert "from:'2026-03-04T11:59:00+00:00',to:'2026-03-04T12:06:00+00:00'" in kibana


def test_a_task_that_has_not_ended_is_shown_until_now():
    links = LINKS.to_task("t-1", "word-count", None, BEGIN, None)
    assert "to=now" in links["grafana"]
    assert "to:'now'" in links["kibana"]
    assert "jaeger" not in links


def test_a_workflow_is_found_by_its_own_field():
    links = LINKS.to_workflow("w-1", "cd" * 16, BEGIN, END)
    assert links["grafana"].startswith("http://localhost:3000/d/agents?var-agent=$__all&from=")
    assert 'workflow.id:"w-1"' in unquote(links["kibana"])


def test_without_other_tools_there_is_the_console():
    links = Links.of(Settings(api_url="http://agents.example/"))
    assert links.to_task("t-1", "a", "ab" * 16, BEGIN, END) == {"console": "http://agents.example/console/tasks/t-1"}
    assert links.to_workflow("w-1", None, BEGIN, END) == {"console": "http://agents.example/console/workflows/w-1"}
