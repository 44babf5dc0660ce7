"""The API process: starts everything that it needs, serves until it is told to stop, and leaves nothing behind."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import uvicorn
from redis.exceptions import RedisError

from agent_service.agents import AgentDefinitionError
from agent_service.api.app import create_app
from agent_service.api.services import Services
from agent_service.incidents import EscalationPolicyError, IncidentGauges
from agent_service.settings import Settings
from agent_service.tasks.connection import RedisUnavailableError
from agent_service.tasks.queues import QueueGauges
from agent_service.tasks.workers import service_discovery
from agent_service.telemetry.contract import ServiceName
from agent_service.telemetry.exposition import ExpositionServer, PortTakenError
from agent_service.telemetry.logs import configure_logging
from agent_service.telemetry.traces import SpanSink, configure_tracing, shutdown_tracing
from agent_service.workflows import WorkflowDefinitionError

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 10
"""How long requests under way may take once the process is told to stop."""
FLUSH_SECONDS = 5.0
JSON = "application/json"


class StartupError(Exception):
    """The API cannot start as it is configured; the message is one line that says what to change."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first.

    Redis may be away at the start: `/readyz` says so and submissions are refused until it is there.

    Raises:
        StartupError: A port is taken, or a setting is missing or cannot be used.
    """
    configure_logging(ServiceName.API, settings)
    services = _build_services(settings)
    with _listening(settings) as listener, _exposed(services):
        if settings.telemetry:
            configure_tracing(ServiceName.API, exporters=[SpanSink(services.journal.write_spans)])
        try:
            server = _Server(services, settings)
            logger.info("the API listens on http://%s:%d", *listener.getsockname()[:2])
            server.run(sockets=[listener])
        finally:
            shutdown_tracing(FLUSH_SECONDS)


class _Server(uvicorn.Server):
    """Uvicorn, ended in an orderly way."""

    def __init__(self, services: Services, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(settings, services),
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        self._services = services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let those who follow a task go, then finish what is under way."""
        self._services.closing.set()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on a signal, but do not raise it again at the end as uvicorn does: there are spans to be flushed."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _build_services(settings: Settings) -> Services:
    if not settings.api_keys_sha256:
        raise StartupError("no API key is configured: run `make init`, or set API_KEYS_SHA256 to name:sha256 pairs")
    try:
        return Services.build(settings)
    except (RedisUnavailableError, AgentDefinitionError, WorkflowDefinitionError, EscalationPolicyError) as error:
        raise StartupError(str(error)) from error


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    host, port = settings.api_host, settings.api_port
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = error.strerror or error
        raise StartupError(f"the API cannot listen on {host}:{port}: {reason}; set API_HOST and API_PORT") from error
    with listener:
        yield listener


@contextmanager
def _exposed(services: Services) -> Iterator[None]:
    """Give Prometheus what it asks for, on a port that is not the public one."""
    settings = services.settings

    def workers() -> tuple[int, str, bytes]:
        try:
            return 200, JSON, orjson.dumps(service_discovery(services.redis))
        except RedisError as error:  # Prometheus then keeps the workers that it knows
            logger.warning("no worker discovery: %s", error)
            return 503, JSON, b"[]"

    gauges = QueueGauges(services.redis, services.agents, settings.worker_queues)
    services.metrics.add_collector(gauges.samples)
    services.metrics.add_collector(IncidentGauges(services.incidents.store, services.escalation).samples)
    routes = {"/sd/workers": workers, "/healthz": lambda: (200, JSON, b'{"status":"ok"}')}
    host, port = settings.metrics_host, settings.metrics_port
    try:
        exposition = ExpositionServer(host, port, services.metrics, routes)
    except PortTakenError as error:
        raise StartupError(str(error)) from error
    except OSError as error:
        reason = error.strerror or error
        raise StartupError(f"metrics cannot be served on {host}:{port}: {reason}; set METRICS_HOST") from error
    exposition.start()
    try:
        yield
    finally:
        exposition.stop()
