"""RQ stays the truth: its own tools read and work the same queue."""

import subprocess
import sys

from tests.integration.system import wait_until

RQ = [sys.executable, "-m", "rq.cli"]


def test_rq_info_reads_the_queue_and_the_worker(system, valkey_url):
    system.wait_for(system.submit("fault-sleep", seconds=0), "finished")
    command = [*RQ, "info", "--url", valkey_url, "--raw"]
    info = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "queue default 0" in info
    assert system.worker_records()[0]["name"] in info


def test_a_stock_worker_works_the_same_queue_beside_ours(make_system, valkey_url):
    system = make_system()
    system.start_api()
    failing = system.submit("fault-fail", message="no")
    tasks = [system.submit("fault-sleep", seconds=0) for _ in range(4)]
    workflow = system.http.post("/workflows/document-report", json={"text": "# A\n\nA few words on Paris."}).json()
    stock = subprocess.Popen(
        [*RQ, "worker", "--serializer", "rq.serializers.JSONSerializer", "--url", valkey_url, "default"],
        env=system.environment,
        cwd=system.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        done = [system.wait_for(task, "finished") for task in tasks]
        assert {task["attempts"] for task in done} == {1}
        assert system.wait_for(failing, "failed")["error"]["message"] == "no"

        def ended():
            return system.http.get(f"/workflows/{workflow['id']}").json()["status"] == "finished"

        wait_until(ended, "the workflow ends on the stock worker")
        trace = done[0]["trace_id"]
        names = {"POST /tasks", "send default", "process default", "invoke_agent fault-sleep"}
        wait_until(lambda: names <= {span["name"] for span in system.traces.trace(trace)}, "its trace is whole")
    finally:
        stock.terminate()
        stock.wait(30)


def test_suspend_and_resume_are_obeyed(system, valkey_url):
    subprocess.run([*RQ, "suspend", "--url", valkey_url], check=True, capture_output=True)
    wait_until(lambda: system.worker_records()[0]["state"] == "suspended", "the worker is suspended")
    wait_until(lambda: any("suspended" in line["message"] for line in system.log_lines()), "it says so")
    wait_until(lambda: any("stops taking tasks" in line["message"] for line in system.log_lines()), "so does its child")
    task = system.submit("fault-sleep", seconds=0)
    assert system.metric("agent_workers", queue="default", state="suspended") == 1
    assert system.task(task)["status"] == "queued"
    subprocess.run([*RQ, "resume", "--url", valkey_url], check=True, capture_output=True)
    assert system.wait_for(task, "finished")["attempts"] == 1


def test_a_mixed_fleet_drains_the_queue_and_loses_nothing(make_system, valkey_url):
    system = make_system()
    system.start_api()
    item = {"agent": "fault-sleep", "input": {"seconds": 0}}
    answers = [system.http.post("/tasks/batch", json={"tasks": [item] * 500}).raise_for_status() for _ in range(2)]
    ids = [result["task"]["id"] for answer in answers for result in answer.json()["results"]]
    stock = subprocess.Popen(
        [*RQ, "worker", "--serializer", "rq.serializers.JSONSerializer", "--url", valkey_url, "--quiet", "default"],
        env=system.environment,
        cwd=system.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: any(record["task_ids"] for record in system.worker_records()), "the stock worker works")
        system.start_worker()
        done = [system.wait_for(task_id, "finished", "failed") for task_id in ids]
    finally:
        stock.terminate()
        stock.wait(30)
    assert len(ids) == 1000
    assert {(task["status"], task["attempts"]) for task in done} == {("finished", 1)}
    assert len({task["worker"] for task in done}) == 2
