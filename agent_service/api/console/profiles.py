"""The profiles of a task, as the console shows them; one function says where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agent_service.api.services import Services


@dataclass(frozen=True, slots=True)
class ProfileView:
    """One profile.

    Attributes:
        kind: `cprofile`, `line`, `sample` or `memory`.
        seconds: How long it was taken for.
        top: The function or line that took most.
        flamegraph: The path of its picture, where it has one.
        speedscope: The path of the file for a viewer.
    """

    id: str
    kind: str
    started_at: datetime | None
    seconds: float | None
    top: str
    flamegraph: str | None
    speedscope: str | None


def profiles_of(services: Services, task_id: str) -> list[ProfileView]:
    """Return the profiles of a task, the newest first; none where nothing was profiled.

    It is asked as `GET /profiles?task_id=` answers: the service that keeps profiles has `list(task_id=...)`.
    """
    store = getattr(services, "profiles", None)
    if store is None:
        return []
    return [
        ProfileView(
            id=profile.id,
            kind=str(profile.kind),
            started_at=profile.started_at,
            seconds=profile.seconds,
            top=profile.top or "",
            flamegraph=profile.links.get("flamegraph"),
            speedscope=profile.links.get("speedscope"),
        )
        for profile in store.list(task_id=task_id)
    ]
