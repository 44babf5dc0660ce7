"""The document report, from the request to the report."""

import pathlib

from tests.integration.system import wait_until

README = pathlib.Path(__file__).parents[3] / "README.md"


def run(system, workflow_id):
    return system.http.get(f"/workflows/{workflow_id}").raise_for_status().json()


def start(system, **payload):
    response = system.http.post("/workflows/document-report", json=payload)
    assert response.status_code == 202, response.text
    return response.json()


def ended(system, workflow_id):
    def over():
        now = run(system, workflow_id)
        return now if now["status"] != "running" else None

    return wait_until(over, f"the workflow ends: {run(system, workflow_id)}")


def test_a_report_on_a_real_document_in_one_trace(system):
    started = start(system, title="README", text=README.read_text())
    done = ended(system, started["id"])
    assert done["status"] == "finished", done
    assert done["result"]["markdown"].startswith("# ")
    agents = {step["agent"] for step in done["steps"]}
    assert {"planner", "extractor", "summarizer", "critic", "writer"} <= agents

    def invoked():
        names = {span["name"] for span in system.traces.trace(done["trace_id"])}
        wanted = {f"invoke_agent {agent}" for agent in agents}
        return wanted <= names

    def roots():
        spans = system.traces.trace(done["trace_id"])
        ids = {span["span_id"] for span in spans}
        return [span["name"] for span in spans if span["parent_id"] not in ids]

    wait_until(invoked, "every agent is in the trace")
    # A span arrives when it has ended, so a child may be there before its parent.
    wait_until(lambda: roots() == ["POST /workflows/{workflow}"], "the request is the only root")
    spans = system.traces.trace(done["trace_id"])
    assert {span["attributes"].get("workflow.id") for span in spans if span["name"].startswith("invoke_agent")} == {
        done["id"]
    }


def test_a_workflow_is_a_group_of_rq_jobs(system, redis_client):
    done = ended(system, start(system, title="T", text="# A\n\nSome words here.\n\n# B\n\nMore words there.")["id"])
    members = {member.decode() for member in redis_client.smembers(f"rq:group:{done['id']}")}
    assert {task_id for step in done["steps"] for task_id in step["task_ids"]} <= members


def test_bad_input_is_refused_with_the_field_named(system):
    response = system.http.post("/workflows/document-report", json={"text": ""})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"].endswith("/text")


def test_a_canceled_workflow_stops_what_runs_and_never_starts_the_rest(make_system, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    system = make_system(AGENT_MODULES="slow", PYTHONPATH=str(tmp_path))
    system.start_api()
    system.start_worker()
    started = system.http.post("/workflows/slow", json={}).json()
    running = wait_until(lambda: step(run(system, started["id"]), "first")["task_ids"], "the first step runs")[0]
    system.wait_for(running, "started")
    assert system.http.delete(f"/workflows/{started['id']}").json()["status"] == "canceled"
    system.wait_for(running, "stopped")
    done = run(system, started["id"])
    assert (step(done, "first")["status"], step(done, "second")["status"]) == ("canceled", "canceled")
    assert step(done, "second")["task_ids"] == []


def test_a_step_that_is_stopped_alone_fails_its_workflow(make_system, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    system = make_system(AGENT_MODULES="slow", PYTHONPATH=str(tmp_path))
    system.start_api()
    system.start_worker()
    started = system.http.post("/workflows/slow", json={}).json()
    running = wait_until(lambda: step(run(system, started["id"]), "first")["task_ids"], "the first step runs")[0]
    system.wait_for(running, "started")
    system.http.delete(f"/tasks/{running}")
    done = ended(system, started["id"])
    assert done["status"] == "failed"
    assert "stopped" in done["error"]


def step(workflow, name):
    return next(step for step in workflow["steps"] if step["name"] == name)


SLOW = """
from pydantic import BaseModel
from agent_service.workflows import Step, Workflow


class Nothing(BaseModel):
    pass


slow = Workflow(
    "slow", "Sleeps twice.", Nothing,
    (
        Step("first", "fault-sleep", lambda _: {"seconds": 40}),
        Step("second", "fault-sleep", lambda _: {"seconds": 0}, after=("first",)),
    ),
    result="second",
)
"""
