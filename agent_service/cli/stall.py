"""Work that has come to a standstill: when it has, and what stands in its way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agent_service.cli.client import ServiceClient
from agent_service.cli.errors import CommandError
from agent_service.cli.invocation import own_command
from agent_service.tasks.models import TaskStatus
from agent_service.telemetry.contract import WorkerState

PAGE = 100
"""Of the newest tasks so many are looked through for one of the workflow's."""


class StallWatch:
    """Ends the wait for a workflow in which nothing has moved for a while."""

    def __init__(self, client: ServiceClient, seconds: float) -> None:
        """Begin to watch.

        Args:
            client: Asked what is wrong.
            seconds: Longest time without a change.
        """
        self._client = client
        self._seconds = seconds
        self._seen: object = None
        self._moved_at = time.monotonic()

    def look(self, run: Mapping[str, Any]) -> None:
        """Compare the workflow's steps with what they were at the last look.

        Raises:
            CommandError: Nothing has moved for too long; the message says what is wrong and what to do.
        """
        now = time.monotonic()
        steps = [(step["name"], step["status"], step["round"], step["task_ids"]) for step in run["steps"]]
        if steps != self._seen:
            self._seen, self._moved_at = steps, now
        elif now - self._moved_at >= self._seconds:
            raise CommandError(f"nothing has moved for {self._seconds:.0f} s: {obstacle(self._client, run)}")


def obstacle(client: ServiceClient, run: Mapping[str, Any]) -> str:
    """Return what keeps a workflow from going on, and what to do about it.

    Raises:
        CommandError: There is no service any more, or it refused.
    """
    workers = client.get("/workers")
    if not workers:
        return f"no worker is alive; `make up` or `{own_command()} worker` starts one"
    task = _unfinished(client, run)
    if task is None:
        return f"it has no task left that could move it on; see `{own_command()} show {run['id']}`"
    where = f"task {task['id']} of agent {task['agent']}"
    serving = [worker for worker in workers if task["queue"] in worker["queue"].split(",")]
    if not serving:
        return f"{where} waits in queue {task['queue']}, which no worker serves; name it in WORKER_QUEUES"
    if all(worker["state"] == WorkerState.SUSPENDED for worker in serving):
        return f"{where} waits, since the workers are suspended; `rq resume` lets them go on"
    return f"{where} is {task['status']}; queue {task['queue']} has {_amount(serving)}; `{own_command()} workers`"


def _amount(workers: list[dict[str, Any]]) -> str:
    busy = sum(worker["state"] == WorkerState.BUSY for worker in workers)
    return f"{len(workers)} {'worker' if len(workers) == 1 else 'workers'}, {busy} busy"


def _unfinished(client: ServiceClient, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a task of the workflow that has not ended, one that waits for no other if there is one."""
    tasks = [
        task
        for task in client.get("/tasks", limit=PAGE)["tasks"]
        if task["workflow_id"] == run["id"] and not TaskStatus(task["status"]).is_final
    ]
    return min(tasks, key=lambda task: task["status"] == TaskStatus.DEFERRED, default=None)
