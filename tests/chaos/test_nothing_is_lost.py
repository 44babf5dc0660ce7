"""While tasks flow, something dies; afterwards every acknowledged task is accounted for."""

from __future__ import annotations

import os
import random
import signal
import threading

import httpx
import pytest

from tests.integration.system import System, wait_until

TASKS = 400


class Flow:
    """Submits tasks from a thread for as long as a test wants, and remembers those that were acknowledged."""

    def __init__(self, system: System, count: int) -> None:
        self._system = system
        self._count = count
        self.acknowledged: list[str] = []
        self.refused = 0
        self._rng = random.Random(7)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while len(self.acknowledged) < self._count:
            agent, payload = self._rng.choice([("fault-block", {"seconds": 0.01}), ("fault-sleep", {"seconds": 0.02})])
            body = {"agent": agent, "input": payload, "options": {"retries": 0}}
            try:
                response = self._system.http.post("/tasks", json=body)
            except httpx.TransportError:
                self.refused += 1
                continue
            if response.status_code == 202:
                self.acknowledged.append(response.json()["id"])
            else:
                assert response.status_code in {429, 503}, response.text
                self.refused += 1

    def wait_for(self, share: float) -> None:
        wait_until(lambda: len(self.acknowledged) >= share * self._count, f"{share:.0%} are acknowledged")

    def join(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()


def account(system: System, flow: Flow) -> dict[str, int]:
    """Return how many acknowledged tasks are in each final state, once all are; fail on one that is nowhere."""

    def states() -> dict[str, int] | None:
        counts: dict[str, int] = {}
        for task_id in flow.acknowledged:
            status = system.task(task_id)["status"]
            if status not in {"finished", "failed", "stopped", "canceled"}:
                return None
            counts[status] = counts.get(status, 0) + 1
        return counts

    counts = wait_until(states, "every acknowledged task has ended", 120)
    print(f"\n{len(flow.acknowledged)} acknowledged, {flow.refused} refused: {counts}")
    return dict(counts)


def check_runs(system: System, flow: Flow, *, lost_runs: int) -> None:
    """Check that no task ran twice, and that at most `lost_runs` failed, each because its run was lost."""
    failed = []
    for task_id in flow.acknowledged:
        task = system.task(task_id)
        assert task["attempts"] == 1, task
        if task["status"] == "failed":
            failed.append(task)
    assert {task["error"]["type"] for task in failed} <= {"WorkerChildDied", "WorkerDied"}
    assert len(failed) <= lost_runs, [task["error"] for task in failed]


def start(valkey, tmp_path, workers=2) -> System:
    system = System(valkey.url, tmp_path / "system", WORKER_ASYNC_TASKS="4")
    system.start_api()
    for _ in range(workers):
        system.start_worker()
    return system


def test_valkey_is_killed_and_comes_back(valkey, tmp_path):
    system = start(valkey, tmp_path)
    try:
        flow = Flow(system, TASKS)
        flow.wait_for(0.4)
        valkey.kill()
        valkey.start()
        flow.join()
        account(system, flow)
        # With every write synced nothing that was acknowledged is gone, and what ran is written down afterwards.
        check_runs(system, flow, lost_runs=0)
    finally:
        system.close()


def test_valkey_does_not_answer_for_a_while(valkey, tmp_path):
    system = start(valkey, tmp_path)
    try:
        flow = Flow(system, TASKS)
        flow.wait_for(0.4)
        valkey.pause(3)
        flow.join()
        account(system, flow)
        check_runs(system, flow, lost_runs=0)
    finally:
        system.close()


def test_children_and_a_worker_are_killed(valkey, tmp_path):
    system = start(valkey, tmp_path)
    try:
        flow = Flow(system, TASKS)
        kills = 0
        for share in (0.2, 0.4, 0.6):
            flow.wait_for(share)
            os.kill(system.child_of(system.workers[0]), signal.SIGKILL)
            kills += 1
        flow.wait_for(0.8)
        system.workers[1].kill()
        system.workers[1].wait(10)
        flow.join()
        account(system, flow)
        check_runs(system, flow, lost_runs=5 * (kills + 1))
    finally:
        system.close()


def test_the_api_is_killed_and_started_again(valkey, tmp_path):
    system = start(valkey, tmp_path)
    try:
        flow = Flow(system, TASKS)
        for share in (0.3, 0.6):
            flow.wait_for(share)
            assert system.api is not None
            system.api.kill()
            system.api.wait(10)
            system.start_api()
        flow.join()
        account(system, flow)
        check_runs(system, flow, lost_runs=0)
    finally:
        system.close()


@pytest.mark.parametrize("valkey", ["everysec"], indirect=True)
def test_with_fsync_every_second_a_killed_valkey_keeps_what_it_was_told(valkey, tmp_path):
    """A killed process loses nothing that it wrote: only a dead machine takes the last second with it."""
    system = start(valkey, tmp_path)
    try:
        flow = Flow(system, TASKS // 2)
        flow.wait_for(0.5)
        valkey.kill()
        valkey.start()
        flow.join()
        account(system, flow)
        check_runs(system, flow, lost_runs=0)
    finally:
        system.close()
