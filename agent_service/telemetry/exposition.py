"""The internal port, where Prometheus reads this process."""

from __future__ import annotations

import errno
import logging
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent_service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

Route = Callable[[], tuple[int, str, bytes]]
"""Gives status, content type and body."""

TEXT = "text/plain; charset=utf-8"
CLIENT_SECONDS = 10


class PortTakenError(Exception):
    """Another program listens on the port; the message names it and the setting to change."""

    def __init__(self, host: str, port: int, setting: str) -> None:
        super().__init__(f"port {port} on {host} is taken by another program; set {setting} to a free one")


class ExpositionServer:
    """Serves `/metrics`, and what else a process shows inside the network, from a thread of its own."""

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Metrics,
        routes: Mapping[str, Route] | None = None,
        *,
        setting: str = "METRICS_PORT",
    ) -> None:
        """Bind; `start` begins to serve.

        Args:
            host: The address to listen on.
            port: The port; 0 takes a free one.
            metrics: What `/metrics` shows.
            routes: Further paths.
            setting: The setting that names the port, for the message when it is taken.

        Raises:
            PortTakenError: Another program listens there.
        """
        try:
            self._server = _Server(host, port, _handler(metrics, dict(routes or {})))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTakenError(host, port, setting) from error
            raise
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Bind, without the base class's question to DNS for a host name that nobody reads."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, *client: Any) -> None:
        """Say nothing of a client that went away in the middle of its answer."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*client)


def _handler(metrics: Metrics, routes: dict[str, Route]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = CLIENT_SECONDS
        # Head and body go out as two packets; Nagle's algorithm would hold the second for the client's delayed ACK.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            try:
                status, content_type, body = self._find(path)
            except Exception:
                logger.exception("%s cannot be shown", path)
                status, content_type, body = 500, TEXT, b"see the log\n"
            self._answer(status, content_type, body)

        def _find(self, path: str) -> tuple[int, str, bytes]:
            if path == "/metrics":
                body, content_type = metrics.render(self.headers.get("Accept", ""))
                return 200, content_type, body
            if path in routes:
                return routes[path]()
            return 404, TEXT, b"there is /metrics here\n"

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing: a scrape every few seconds is no news."""

    return Handler
