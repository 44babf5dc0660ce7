"""What a client relies on, from submission to the last state."""

from itertools import pairwise

import pytest

from tests.integration.system import wait_until


def test_a_task_is_run_and_its_result_kept(system):
    task = system.submit("fault-sleep", seconds=0.01)
    done = system.wait_for(task, "finished")
    assert done["attempts"] == 1
    assert done["result"]["attempt"] == 1
    assert done["started_at"] >= done["submitted_at"]
    assert system.metric("agent_tasks_total", agent="fault-sleep", outcome="success") == 1
    assert system.metric("agent_tasks_submitted_total", agent="fault-sleep", queue="default") == 1


def test_a_failed_task_tells_why(system):
    done = system.wait_for(system.submit("fault-fail", message="no milk"), "failed")
    assert done["error"]["type"] == "RuntimeError"
    assert done["error"]["message"] == "no milk"
    assert "Traceback" in done["error"]["stack_trace"]
    assert system.metric("agent_errors_total", agent="fault-fail", error_type="RuntimeError") == 1
    assert system.metric("agent_tasks_total", agent="fault-fail", outcome="failure") == 1


def test_a_task_is_tried_again_and_each_try_is_counted(system):
    done = system.wait_for(system.submit("fault-fail-times", {"retries": 3}, times=2), "finished")
    assert done["attempts"] == 3
    assert system.metric("agent_tasks_total", agent="fault-fail-times", outcome="retry") == 2
    assert system.metric("agent_tasks_total", agent="fault-fail-times", outcome="success") == 1


def test_a_task_without_retries_left_fails(system):
    done = system.wait_for(system.submit("fault-fail-times", {"retries": 1}, times=5), "failed")
    assert done["attempts"] == 2


@pytest.mark.parametrize("agent", ["fault-sleep", "fault-block", "fault-busy-loop"])
def test_a_task_that_takes_too_long_is_ended(system, agent):
    done = system.wait_for(system.submit(agent, {"timeout_seconds": 1}, seconds=40), "failed")
    assert done["error"]["type"] == "TaskTimeoutError"
    wait_until(lambda: system.metric("agent_tasks_total", agent=agent, outcome="timeout") == 1, "it is counted")
    system.wait_for(system.submit("fault-sleep", seconds=0.01), "finished")


@pytest.mark.parametrize("agent", ["fault-sleep", "fault-block", "fault-busy-loop"])
def test_a_running_task_is_stopped_on_request(system, agent):
    task = system.submit(agent, {"retries": 3}, seconds=40)
    system.wait_for(task, "started")
    assert system.http.delete(f"/tasks/{task['id']}").status_code == 202
    done = system.wait_for(task, "stopped")
    assert done["attempts"] == 1
    wait_until(lambda: system.metric("agent_tasks_total", agent=agent, outcome="canceled") == 1, "it is counted")
    system.wait_for(system.submit("fault-sleep", seconds=0.01), "finished")


def test_a_waiting_task_is_canceled_and_never_runs(make_system):
    system = make_system()
    system.start_api()
    task = system.submit("fault-sleep", seconds=0)
    response = system.http.delete(f"/tasks/{task['id']}")
    assert (response.status_code, response.json()["status"]) == (200, "canceled")
    system.start_worker()
    system.wait_for(system.submit("fault-sleep", seconds=0), "finished")
    assert system.task(task)["attempts"] == 0
    assert system.metric("agent_tasks_total", agent="fault-sleep", outcome="canceled") == 1


def test_a_failed_task_is_retried_by_hand_with_its_retries(system):
    task = system.submit("fault-fail-times", {"retries": 1}, times=3)
    system.wait_for(task, "failed")
    assert system.http.post(f"/tasks/{task['id']}/retry").status_code == 202
    done = system.wait_for(task, "finished")
    assert done["attempts"] == 4
    assert done["error"] is None


def test_a_delayed_task_starts_no_earlier(system):
    task = system.submit("fault-sleep", {"delay_seconds": 1.5}, seconds=0)
    assert task["status"] == "scheduled"
    done = system.wait_for(task, "finished")
    assert _seconds(done["started_at"]) - _seconds(done["submitted_at"]) >= 1.5


def test_a_high_priority_task_overtakes(make_system):
    system = make_system()
    system.start_api()
    first = system.submit("fault-block", seconds=0)
    urgent = system.submit("fault-block", {"priority": "high"}, seconds=0)
    system.start_worker()
    first, urgent = system.wait_for(first, "finished"), system.wait_for(urgent, "finished")
    assert urgent["started_at"] < first["started_at"]


def test_async_tasks_run_side_by_side_and_sync_ones_in_turn(system):
    async_tasks = [system.submit("fault-sleep", seconds=1) for _ in range(8)]
    wait_until(lambda: system.metric("agent_tasks_in_progress", agent="fault-sleep") == 8, "all run at once")
    done = [system.wait_for(task, "finished") for task in async_tasks]
    assert max(task["started_at"] for task in done) < min(task["ended_at"] for task in done)
    sync = [system.wait_for(system.submit("fault-block", seconds=0.05), "finished") for _ in range(3)]
    spans = sorted((task["started_at"], task["ended_at"]) for task in sync)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


def test_an_agents_concurrency_limit_holds_over_workers(make_system, tmp_path):
    (tmp_path / "limited.py").write_text(
        "import asyncio\n"
        "from pydantic import BaseModel\n"
        "from agent_service.agents import agent\n"
        "class Empty(BaseModel):\n    pass\n"
        "@agent('limited', concurrency=2)\n"
        "async def limited(_: Empty) -> Empty:\n    await asyncio.sleep(0.2)\n    return Empty()\n"
    )
    system = make_system(AGENT_MODULES="limited", PYTHONPATH=str(tmp_path))
    system.start_api()
    system.start_worker()
    system.start_worker()
    tasks = [system.submit("limited") for _ in range(10)]
    done = [system.wait_for(task, "finished") for task in tasks]
    moments = sorted([(t["started_at"], 1) for t in done] + [(t["ended_at"], -1) for t in done])
    running = peak = 0
    for _, step in moments:
        running += step
        peak = max(peak, running)
    assert peak <= 2


def test_a_callback_is_called_when_a_task_ends(make_system):
    from tests.unit.tasks.test_callbacks import Receiver

    receiver = Receiver()
    system = make_system(CALLBACK_ALLOW_PRIVATE="true")
    system.start_api()
    system.start_worker()
    task = system.submit("fault-fail", {"callback_url": f"{receiver.url}/done"}, message="no")
    assert receiver.received.wait(30)
    receiver.server.shutdown()
    receiver.server.server_close()
    path, body = receiver.bodies[0]
    assert path == "/done"
    assert (body["task_id"], body["status"], body["error"]["message"]) == (task["id"], "failed", "no")


def test_sub_tasks_run_in_the_trace_of_their_parent(make_system, tmp_path):
    (tmp_path / "parents.py").write_text(
        "from pydantic import BaseModel\n"
        "from agent_service.agents import agent, Context\n"
        "class Empty(BaseModel):\n    pass\n"
        "class Done(BaseModel):\n    detail: str\n"
        "@agent('parent')\n"
        "async def parent(_: Empty, context: Context) -> Done:\n"
        "    return Done(detail=str((await context.run('fault-sleep', {'seconds': 0}))['attempt']))\n"
    )
    system = make_system(AGENT_MODULES="parents", PYTHONPATH=str(tmp_path))
    system.start_api()
    system.start_worker()
    parent = system.wait_for(system.submit("parent"), "finished")
    assert parent["result"] == {"detail": "1"}
    tasks = system.http.get("/tasks", params={"agent": "fault-sleep"}).json()["tasks"]
    assert [task["parent_task_id"] for task in tasks] == [parent["id"]]
    assert tasks[0]["trace_id"] == parent["trace_id"]
    wait_until(lambda: system.metric("agent_tasks_submitted_total", agent="fault-sleep") == 1, "it is counted")


def _seconds(moment):
    from datetime import datetime

    return datetime.fromisoformat(moment).timestamp()
