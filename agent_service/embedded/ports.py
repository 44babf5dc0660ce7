"""Finds out whether a port can be listened on before anything is started."""

from __future__ import annotations

import errno
import socket


class PortError(Exception):
    """A port that is needed cannot be listened on; the message is one line that says which setting moves it."""


def require_free(host: str, port: int, *, setting: str) -> None:
    """Return when `port` of `host` can be listened on.

    Args:
        host: An address of this machine.
        port: A TCP port.
        setting: The prefix of the two settings, such as `API` for `API_HOST` and `API_PORT`.

    Raises:
        PortError: It cannot, or it is 0, which leaves the choice to the system and everybody else in the dark.
    """
    if port == 0:
        raise PortError(f"{setting}_PORT is 0; set it in .env to the port where clients are to find it")
    try:
        _bind(host, port)
    except socket.gaierror as error:
        raise PortError(f"{setting}_HOST is no address: {host}: {error.strerror}") from error
    except OSError as error:
        raise PortError(_explain(error, host, port, setting)) from error


def free_port(host: str) -> int:
    """Return a TCP port of `host` that nobody listens on at this moment."""
    return _bind(host, 0)


def _bind(host: str, port: int) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the run before may linger
        probe.bind(address)
        bound: int = probe.getsockname()[1]
        return bound


def _explain(error: OSError, host: str, port: int, setting: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {host} is taken by another program; set {setting}_PORT in .env"
        case errno.EACCES:
            return f"port {port} on {host} may not be used by this user; set {setting}_PORT in .env to 1024 or more"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine; set {setting}_HOST in .env"
        case _:
            return f"port {port} on {host} cannot be used: {error.strerror}; set {setting}_PORT in .env"
