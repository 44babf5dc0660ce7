"""The parts of the console that live as long as the process."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

from fastapi import Request

from agent_service.api.console.archive import Archive
from agent_service.api.console.history import History
from agent_service.api.console.monitor import Monitor
from agent_service.api.console.sessions import Sessions
from agent_service.api.services import Services


@dataclass(slots=True)
class Console:
    """What all pages share.

    Attributes:
        followers: How many browsers follow a page at this moment.
    """

    services: Services
    monitor: Monitor
    history: History
    archive: Archive
    sessions: Sessions
    followers: int = 0
    lock: Lock = field(default_factory=Lock)

    @classmethod
    def build(cls, services: Services) -> Console:
        """Build the parts; `start` lets them work."""
        settings = services.settings
        monitor = Monitor(services)
        return cls(
            services=services,
            monitor=monitor,
            history=History(monitor.ring, settings.prometheus_url),
            archive=Archive(settings),
            sessions=Sessions(
                services.redis, services.writes, services.keys, seconds=settings.console_session_hours * 3600
            ),
        )

    def start(self) -> None:
        """Begin to watch the system."""
        self.monitor.start()

    def stop(self) -> None:
        """End."""
        self.monitor.stop()
        self.history.close()
        self.archive.close()


def console_of(request: Request) -> Console:
    """Return the console of the application that handles a request."""
    console: Console = request.app.state.console
    return console
