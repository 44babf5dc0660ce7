"""One trace follows a task from the request to its tools."""

import os
import signal

from tests.integration.system import wait_until

SERVER, CLIENT, PRODUCER, CONSUMER, INTERNAL = 2, 3, 4, 5, 1

BEFORE_A_CRASH = [*[("fault-sleep", {"seconds": 0})] * 5, *[("fault-block", {"seconds": 0})] * 5, ("fault-crash", {})]


def spans_of(system, trace_id, *names):
    """Return the spans of a trace once all of `names` have arrived."""

    def arrived():
        spans = system.traces.trace(trace_id)
        return spans if set(names) <= {span["name"] for span in spans} else None

    return wait_until(arrived, f"the spans {names} arrive; there are {system.traces.trace(trace_id)}")


def only(spans, name):
    found = [span for span in spans if span["name"] == name]
    assert len(found) == 1, [span["name"] for span in spans]
    return found[0]


def test_the_spans_of_a_task_hang_together_over_the_queue(system):
    task = system.wait_for(system.submit("extractor", section=SECTION), "finished")
    spans = spans_of(system, task["trace_id"], "POST /tasks", "process default", "invoke_agent extractor")

    server, send = only(spans, "POST /tasks"), only(spans, "send default")
    process, invoke = only(spans, "process default"), only(spans, "invoke_agent extractor")
    tools = [span for span in spans if span["name"].startswith("execute_tool ")]

    assert (server["kind"], send["kind"], process["kind"], invoke["kind"]) == (SERVER, PRODUCER, CONSUMER, INTERNAL)
    assert (server["service"], send["service"]) == ("agent-api", "agent-api")
    assert (process["service"], invoke["service"]) == ("agent-worker", "agent-worker")
    assert (send["parent_id"], process["parent_id"]) == (server["span_id"], send["span_id"])
    assert invoke["parent_id"] == process["span_id"]
    assert tools
    assert {tool["parent_id"] for tool in tools} == {invoke["span_id"]}
    assert invoke["attributes"]["gen_ai.operation.name"] == "invoke_agent"
    assert invoke["attributes"]["gen_ai.agent.name"] == "extractor"
    assert invoke["attributes"]["task.id"] == task["id"]
    assert sum(span["kind"] == SERVER for span in spans) == 1


def test_a_retry_is_a_new_span_linked_to_the_first(system):
    task = system.wait_for(system.submit("fault-fail-times", {"retries": 2}, times=2), "finished")

    def three():
        found = [span for span in system.traces.trace(task["trace_id"]) if span["name"] == "process default"]
        return sorted(found, key=lambda span: span["attributes"]["task.attempt"]) if len(found) == 3 else None

    first, second, third = wait_until(three, "three attempts arrive")
    assert first["links"] == []
    assert second["links"] == third["links"] == [first["span_id"]]
    assert first["parent_id"] == second["parent_id"] == third["parent_id"]
    assert (first["error"], second["error"], third["error"]) == (True, True, False)
    assert first["attributes"]["task.outcome"] == "retry"


def test_a_crash_takes_no_spans_of_earlier_tasks_along(system):
    tasks = [system.submit(agent, {"retries": 0}, **payload) for agent, payload in BEFORE_A_CRASH]
    *earlier, crashed = [system.wait_for(task, "finished", "failed") for task in tasks]
    assert crashed["error"]["type"] == "WorkerChildDied"
    for task in earlier:
        spans_of(system, task["trace_id"], "process default", f"invoke_agent {task['agent']}")


def test_the_span_of_a_run_that_died_with_its_process_is_there(system):
    task = system.submit("fault-block", {"retries": 1}, seconds=2)
    system.wait_for(task, "started")
    os.kill(system.child_of(system.workers[0]), signal.SIGKILL)
    system.wait_for(task, "finished")

    def two():
        found = [span for span in system.traces.trace(task["trace_id"]) if span["name"] == "process default"]
        return sorted(found, key=lambda span: span["attributes"]["task.attempt"]) if len(found) == 2 else None

    lost, again = wait_until(two, "both attempts arrive")
    assert lost["error"]
    assert lost["attributes"]["error.type"] == "WorkerChildDied"
    assert again["links"] == [lost["span_id"]]


def test_a_tasks_own_spans_and_lines_are_kept_for_show(system):
    task = system.wait_for(system.submit("fault-log", message="hello there", level="INFO"), "finished")

    def kept():
        names = {span["name"] for span in system.http.get(f"/tasks/{task['id']}/spans").json()}
        return {"POST /tasks", "send default", "process default", "invoke_agent fault-log"} <= names

    wait_until(kept, "its spans are kept")
    lines = wait_until(lambda: system.http.get(f"/tasks/{task['id']}/logs").json(), "its lines are kept")
    assert "hello there" in [line["message"] for line in lines]


def test_no_endpoint_means_no_errors(make_system):
    system = make_system(OTEL_EXPORTER_OTLP_ENDPOINT="", JOURNAL_HOURS="0")
    system.start_api()
    worker = system.start_worker()
    task = system.wait_for(system.submit("fault-sleep", seconds=0), "finished")
    assert task["trace_id"]
    assert system.stop(worker, seconds=15) == 0
    assert [line for line in system.log_lines() if line["log"]["level"] in {"error", "warning"}] == []


SECTION = {
    "index": 0,
    "heading": "Release",
    "level": 1,
    "words": 24,
    "text": "The Valkey project released version 9.1 on 2026-03-04. See https://valkey.io for the notes. "
    "Jane Doe of the Valkey project wrote them with care.",
}
