"""Gives fault agents their tasks, and takes back what is left of them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from agent_service.cli.client import RefusedError, ServiceClient
from agent_service.cli.errors import CommandError
from agent_service.cli.faults.catalog import Load

BATCH: Final = 500
"""Tasks of one request; the API takes 1000."""
AT_ONCE: Final = 8
"""Tasks that are canceled at the same time."""
ALREADY_OVER: Final = frozenset((HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))


class TaskFault:
    """A fault that consists of tasks."""

    def __init__(self, client: ServiceClient, load: Load) -> None:
        self._client = client
        self._load = load
        self._task: dict[str, Any] = {}
        self._submitted: list[str] = []

    def check(self) -> None:
        """See to it that the service can run it.

        Raises:
            CommandError: There is no service, or it does not offer the fault agents.
        """
        try:
            self._client.get(f"/agents/{self._load.agent}")
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            raise CommandError(
                f"the service does not offer {self._load.agent}: set FAULT_AGENTS=true in .env and start it again"
            ) from None

    def cause(self, lasts: timedelta) -> None:
        """Submit tasks until the time is over; with Ctrl-C it ends earlier.

        Raises:
            CommandError: The service is gone, or refuses a task.
        """
        end = time.monotonic() + lasts.total_seconds()
        self._task = {"agent": self._load.agent, "input": self._load.input(lasts), "options": {"retries": 0}}
        self._submit(min(self._load.first, self._load.most))
        following = time.monotonic()
        while len(self._submitted) < self._load.most:
            following += self._load.every.total_seconds()
            if following >= end:
                break
            time.sleep(max(0.0, following - time.monotonic()))
            self._submit(1)
        time.sleep(max(0.0, end - time.monotonic()))

    def undo(self) -> str:
        """End the tasks that are still there, and return what was done, for the user."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ended = sum(pool.map(self._end, reversed(self._submitted)))
        return f"{len(self._submitted)} tasks were submitted; {ended} of them were still there and are canceled"

    def _submit(self, number: int) -> None:
        for start in range(0, number, BATCH):
            # A request that is cut off leaves tasks whose ids nobody knows.
            with _undisturbed():
                answer = self._client.post("/tasks/batch", {"tasks": [self._task] * min(BATCH, number - start)})
                for result in answer["results"]:
                    self._keep(result)

    def _keep(self, result: dict[str, Any]) -> None:
        if result["task"] is None:
            problem = result["problem"]
            raise CommandError(f"the service refuses the fault's tasks: {problem['title']}: {problem['detail']}")
        self._submitted.append(result["task"]["id"])

    def _end(self, task_id: str) -> bool:
        """Cancel or stop a task; tell whether there was something to end."""
        with suppress(RefusedError):
            self._client.delete(f"/tasks/{task_id}")
            return True
        return False


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
