"""RQ stays the truth: its own tools read and work the same queue."""

import subprocess
import sys

from tests.integration.system import wait_until

RQ = [sys.executable, "-m", "rq.cli"]


def rq_info(valkey_url: str) -> list[str]:
    command = [*RQ, "info", "--url", valkey_url, "--raw"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_rq_info_counts_what_our_worker_did_and_does(system, valkey_url):
    for _ in range(3):
        system.wait_for(system.submit("fault-sleep", seconds=0), "finished")
    for _ in range(2):
        system.wait_for(system.submit("fault-fail", {"retries": 0}), "failed")
    running = system.submit("fault-block", seconds=60)
    system.wait_for(running, "started")
    for _ in range(4):
        system.submit("fault-sleep", seconds=0)
    (worker,) = system.worker_records()

    lines = rq_info(valkey_url)

    assert "queue default 4, 1 executing, 3 finished, 2 failed" in lines
    (line,) = [line for line in lines if line.startswith("worker ")]
    assert line.startswith(f"worker {worker['name']} ")
    assert line.endswith(f" {worker['pid']}) busy default. jobs: 3 finished, 2 failed")
    assert running["id"] in worker["task_ids"]


def test_with_an_rq_that_the_scripts_were_not_checked_against_the_worker_says_so_and_works(
    make_system, redis_client, tmp_path
):
    (tmp_path / "sitecustomize.py").write_text("import rq.version\nrq.version.VERSION = '3.0.1'\n")
    system = make_system()
    system.start_api()
    system.start_worker(PYTHONPATH=str(tmp_path))
    done = [system.wait_for(system.submit(agent, seconds=0), "finished") for agent in ("fault-sleep", "fault-block")]

    assert [task["attempts"] for task in done] == [1, 1]
    warnings = [line for line in system.log_lines() if "RQ 3.0.1 is not one" in line["message"]]
    assert [line["log"]["level"] for line in warnings] == ["warning"]
    assert "it uses RQ's own methods" in warnings[0]["message"]
    assert redis_client.zcard("rq:finished:default") == 2
    assert redis_client.zcard("rq:wip:default") == 0


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
