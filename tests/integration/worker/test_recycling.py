"""A worker's child is replaced without anybody having to wait for the next one."""

from pathlib import Path

from tests.integration.system import wait_until


def children(worker):
    return Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()


def test_the_successor_of_a_child_starts_before_the_child_has_run_its_share(make_system):
    system = make_system(WORKER_RECYCLE_TASKS="12")
    system.start_api()
    worker = system.start_worker()
    first = system.child_of(worker)
    tasks = [system.submit("fault-block", seconds=0.5) for _ in range(14)]

    wait_until(lambda: len(children(worker)) == 2, "two children live")
    assert str(first) in children(worker)

    assert [system.wait_for(task, "finished")["attempts"] for task in tasks] == [1] * 14
    wait_until(lambda: len(children(worker)) == 1, "the first has left")
    assert str(first) not in children(worker)
    assert system.stop(worker) == 0


def test_a_worker_that_is_told_to_stop_takes_its_successor_along(make_system):
    system = make_system(WORKER_RECYCLE_TASKS="12")
    system.start_api()
    worker = system.start_worker()
    tasks = [system.submit("fault-block", seconds=0.5) for _ in range(12)]
    wait_until(lambda: len(children(worker)) == 2, "two children live")

    assert system.stop(worker, seconds=60) == 0

    assert {system.task(task)["status"] for task in tasks} <= {"queued", "finished"}
    assert system.worker_records() == []
