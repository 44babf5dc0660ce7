"""What the context of a running task reaches: the journal, the queue, and the flag that asks it to stop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from typing import Any

from agent_service.agents import SubtaskError
from agent_service.tasks.journal import JournalWriter
from agent_service.tasks.models import Submission, TaskEventKind
from agent_service.tasks.queries import TaskReader
from agent_service.tasks.submission import Origin, Submitter

POLL_SECONDS = 0.05
PROGRESS_SECONDS = 0.1
"""Progress that is reported more often than this is thinned out; the end, 1.0, is always told."""


class TaskBackend:
    """The context's way out, for one run of a task."""

    def __init__(
        self, task_id: str, workflow_id: str | None, submitter: Submitter, reader: TaskReader, journal: JournalWriter
    ) -> None:
        self._task_id = task_id
        self._workflow_id = workflow_id
        self._submitter = submitter
        self._reader = reader
        self._journal = journal
        self._canceled = threading.Event()
        self._told_at = 0.0

    def cancel(self) -> None:
        """Ask the agent to stop at the next point where it looks."""
        self._canceled.set()

    def is_canceled(self) -> bool:
        """Return whether it was asked to."""
        return self._canceled.is_set()

    def report_progress(self, fraction: float, message: str) -> None:
        """Publish how far the task is."""
        now = time.monotonic()
        if fraction < 1 and now - self._told_at < PROGRESS_SECONDS:
            return
        self._told_at = now
        self._journal.write(self._task_id, TaskEventKind.PROGRESS, {"fraction": fraction, "message": message})

    def submit(self, agent: str, payload: Mapping[str, Any]) -> str:
        """Submit a sub-task under the current span and return its id.

        Raises:
            UnknownAgentError, InvalidInputError, QueueUnavailableError: See `Submitter`.
        """
        origin = Origin(workflow_id=self._workflow_id, parent_task_id=self._task_id)
        return self._submitter.submit(Submission(agent=agent, input=dict(payload)), origin).id

    async def result(self, task_id: str, seconds: float) -> dict[str, Any]:
        """Wait for a sub-task's result.

        Raises:
            SubtaskError: It ended without one.
            TimeoutError: It did not end in time.
        """
        async with asyncio.timeout(seconds):
            while True:
                task = await asyncio.to_thread(self._reader.get, task_id)
                if task.status.is_final:
                    break
                await asyncio.sleep(POLL_SECONDS)
        if not isinstance(task.result, dict):
            reason = f": {task.error.message}" if task.error else ""
            raise SubtaskError(f"sub-task {task_id} of agent {task.agent!r} ended {task.status}{reason}")
        return task.result
