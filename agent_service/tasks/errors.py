"""What can go wrong with a task's submission or control, each with a message that says what to do."""

from __future__ import annotations

from typing import Any


class TaskServiceError(Exception):
    """Base of everything that this room raises for a caller to report."""


class TaskNotFoundError(TaskServiceError):
    """There is no such task, or it is older than its time to live."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"there is no task {task_id!r}; results are kept for a limited time")


class ProfileNotFoundError(TaskServiceError):
    """There is no such profile, or none any more."""

    def __init__(self, profile_id: str) -> None:
        super().__init__(f"there is no profile {profile_id!r}; profiles are kept for a limited time and number")


class WorkerNotFoundError(TaskServiceError):
    """No live worker has that name, or it is a stock RQ worker, which does not do what was asked."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no live worker {name!r} of this service; GET /workers lists them")


class InvalidInputError(TaskServiceError):
    """An agent or a workflow refuses its input.

    Attributes:
        errors: One entry a fault: `loc` (path of the field), `msg`, `type`.
    """

    def __init__(self, what: str, errors: list[dict[str, Any]]) -> None:
        first = errors[0]
        place = ".".join(str(part) for part in first["loc"]) or "input"
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"the input does not fit {what}: {place}: {first['msg']}{more}")
        self.errors = errors


class InvalidCallbackError(TaskServiceError):
    """The callback URL may not be called; the message says why."""


class QueueFullError(TaskServiceError):
    """The queue holds as many tasks as it may; submit again later."""

    def __init__(self, queue: str, limit: int) -> None:
        super().__init__(f"queue {queue!r} holds {limit} tasks, its limit; submit again later or add workers")
        self.queue = queue


class QueueUnavailableError(TaskServiceError):
    """Redis does not answer; nothing was acknowledged."""


class IdempotencyMismatchError(TaskServiceError):
    """The idempotency key was used before with another request body."""


class IdempotencyBusyError(TaskServiceError):
    """A request with the same idempotency key is being handled at this moment."""


class InvalidTransitionError(TaskServiceError):
    """The task is not in a state from which that can be done; the message says in which it is."""
