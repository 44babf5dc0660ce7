"""The commands that run the system, or parts of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_service.cli.configuration import load_settings
from agent_service.cli.errors import CommandError
from agent_service.cli.initialization import write_env
from agent_service.embedded.running import UpError, down, places, start_in_background, up
from agent_service.settings import Settings


def run_up(*, detach: bool) -> None:
    """Run the system in the foreground, or start it in the background."""
    settings = load_settings()
    with _one_line(UpError):
        if not detach:
            up(settings, _say)
            return
        pid = start_in_background(settings)
    _say(f"Ready (pid {pid}). Stop it with `make down`.")
    _print_places(settings)


def run_down() -> None:
    """Stop the system."""
    settings = load_settings()
    with _one_line(UpError):
        pid = down(settings)
    _say(f"Stopped (pid {pid})." if pid else "Nothing is running here.")


def run_api() -> None:
    """Run the API until it is told to stop."""
    settings = load_settings()
    _find_modules_here()
    from agent_service.api.server import StartupError, serve
    from agent_service.telemetry.logs import LogDirectoryError

    with _one_line(StartupError, LogDirectoryError):
        serve(settings)


def run_worker_process(queue: str | None) -> None:
    """Run a worker until it is told to stop."""
    settings = load_settings()
    _find_modules_here()
    from agent_service.agents import AgentDefinitionError
    from agent_service.tasks.connection import RedisUnavailableError
    from agent_service.telemetry.exposition import PortTakenError
    from agent_service.telemetry.logs import LogDirectoryError
    from agent_service.worker.main import run_worker
    from agent_service.worker.supervisor import ChildNeverReadyError

    with _one_line(
        AgentDefinitionError, RedisUnavailableError, PortTakenError, LogDirectoryError, ChildNeverReadyError
    ):
        run_worker(settings, queue or settings.worker_queues[0])


def run_init() -> None:
    """Write `.env`."""
    file = write_env(Path.cwd())
    _say(f"Wrote {file} with a new API key. Start the service with `make up`.")


def print_urls() -> None:
    """Print where everything is."""
    _print_places(load_settings())


def _print_places(settings: Settings) -> None:
    for name, place in places(settings):
        _say(f"  {name:<20} {place}")


def _find_modules_here() -> None:
    """Let AGENT_MODULES name modules beside `.env`, however Python was started."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def _one_line(*errors: type[Exception]) -> Iterator[None]:
    """Turn errors whose message is meant for the user into that message."""
    try:
        yield
    except errors as error:
        raise CommandError(str(error)) from error
