"""The Redis keys that are this service's own; everything under `rq:` is RQ's."""

from __future__ import annotations

from typing import Final

ALL_TASKS: Final = "agents:tasks"
"""A sorted set of every task id with the score 0: ids are UUIDv7, so their order is that of submission."""
QUEUE_STATS: Final = "agents:queue-stats"
"""The last reading of the queues, shared for a moment by every process that is scraped."""
ALL_PROFILES: Final = "agents:profiles"
"""A sorted set of every profile's id, like that of the tasks."""
PROFILE_REQUESTS: Final = "agents:profile-requests"
"""A hash of the agents whose next tasks are to be profiled: how, how many are left, and until when."""


def tasks_of(agent: str) -> str:
    """Return the key of the sorted set of one agent's task ids."""
    return f"{ALL_TASKS}:{agent}"


def profile(profile_id: str) -> str:
    """Return the key of the hash of a profile."""
    return f"agents:profile:{profile_id}"


def profiles_of(agent: str) -> str:
    """Return the key of the sorted set of one agent's profiles."""
    return f"{ALL_PROFILES}:{agent}"


def journal(task_id: str) -> str:
    """Return the key of the stream of a task's events."""
    return f"agents:journal:{task_id}"


def spans(trace_id: str) -> str:
    """Return the key of the list of a trace's spans."""
    return f"agents:spans:{trace_id}"


def idempotency(owner: str, key: str) -> str:
    """Return the key of what a client's idempotency key was used for."""
    return f"agents:idempotency:{owner}:{key}"


def idempotency_lock(owner: str, key: str) -> str:
    """Return the key that is held while the first request with an idempotency key is handled."""
    return f"agents:idempotency-lock:{owner}:{key}"
