"""Traces: one for each task, over the queue, kept in Elasticsearch for as long as configured."""

from __future__ import annotations

import httpx

from agent_service.telemetry.contract import ServiceName
from tests.stack.conftest import Work
from tests.stack.project import Project, wait_until


def test_a_task_is_one_trace_over_the_queue(project: Project, work: Work) -> None:
    trace_id = work.success["trace_id"]
    wanted = {"POST /tasks", "send default", "process default", "invoke_agent planner"}

    def whole() -> dict[str, dict[str, object]]:
        spans = {str(span["name"]): span for span in project.spans(trace_id)}
        return spans if wanted <= set(spans) else {}

    spans = wait_until(whole, "the trace is whole in Jaeger")

    request, send, process, run = (
        spans[name] for name in ("POST /tasks", "send default", "process default", "invoke_agent planner")
    )
    assert (send["parent"], process["parent"], run["parent"]) == (request["id"], send["id"], process["id"])
    assert request["service"] == send["service"] == ServiceName.API
    assert process["service"] == run["service"] == ServiceName.WORKER
    assert run["tags"]["task.id"] == work.success["id"]  # type: ignore[index]


def test_spans_are_kept_in_elasticsearch(project: Project, work: Work) -> None:
    query = {"term": {"traceID": work.success["trace_id"]}}

    wait_until(lambda: project.count("jaeger-span-*", query) >= 4, "the spans are in Elasticsearch")


def test_the_indices_of_jaeger_are_green_on_one_node(project: Project, work: Work) -> None:
    wait_until(lambda: project.spans(work.success["trace_id"]), "there are spans")

    health = project.elastic("GET", "/_cluster/health/jaeger-*").json()

    assert health["status"] == "green"


def test_the_monitor_tab_has_data(project: Project, work: Work) -> None:
    def calls() -> list[object]:
        answer = project.http.get(
            f"{project.url('jaeger')}/api/metrics/calls",
            params={"service": ServiceName.API.value, "lookback": "3600000", "step": "60000", "ratePer": "600000"},
        )
        return list(answer.raise_for_status().json()["metrics"])

    wait_until(calls, "calls are counted from the spans")


def test_old_traces_are_deleted_and_new_ones_stay(project: Project, work: Work) -> None:
    for index in ("jaeger-span-2020-01-31", "jaeger-span-not-a-day"):
        project.elastic("PUT", f"/{index}", user="jaeger", body={})
        assert _status(project, index) == 200

    project.restart("janitor")

    wait_until(lambda: _status(project, "jaeger-span-2020-01-31") == 404, "the old index is deleted")
    assert _status(project, "jaeger-span-not-a-day") == 200
    assert project.count("jaeger-span-*", {"term": {"traceID": work.success["trace_id"]}}) > 0


def test_spans_are_taken_inside_the_network_only(project: Project) -> None:
    published = {
        port for service, i in project.inspections() if service == "jaeger" for port in i["HostConfig"]["PortBindings"]
    }

    assert published == {"16686/tcp"}


def _status(project: Project, index: str) -> int:
    answer: httpx.Response = project.elastic("HEAD", f"/{index}")
    return answer.status_code
