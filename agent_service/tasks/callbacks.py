"""Callback URLs: which may be called, and the call itself.

A client names a URL that this service then calls from inside its network, so a URL may only lead to a public
address. The name is looked up again when the call is made, since what it points to may have changed in between, and
redirects are not followed.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from agent_service.tasks.errors import InvalidCallbackError

logger = logging.getLogger(__name__)

CALL_SECONDS = 10
PENDING_LIMIT = 1_000
"""Calls that wait, or are made, at the same time; past that new ones are dropped, for slow receivers fill no memory."""
PORTS = {"http": 80, "https": 443}


def check_callback(url: str, *, allow_private: bool) -> tuple[str, int]:
    """Return the address and port that a callback URL leads to.

    Args:
        url: The URL.
        allow_private: Whether loopback, link-local and private addresses are allowed too.

    Raises:
        InvalidCallbackError: It is no http(s) URL, its host has no address, or one that is not allowed.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidCallbackError(f"callback_url is not a URL: {error}") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise InvalidCallbackError("callback_url must be an http:// or https:// URL with a host")
    if parts.username or parts.password:
        raise InvalidCallbackError("callback_url must not carry a user name or password")
    port = port or PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InvalidCallbackError(f"the host of callback_url, {parts.hostname!r}, has no address") from error
    addresses = [str(entry[4][0]) for entry in found]
    refused = [address for address in addresses if not _is_public(address)]
    if refused and not allow_private:
        raise InvalidCallbackError(
            f"callback_url leads to {refused[0]}, which is not a public address; set CALLBACK_ALLOW_PRIVATE=true "
            "to allow calls into your own network"
        )
    return addresses[0], port


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_global and not parsed.is_multicast


class CallbackCaller:
    """Calls callback URLs in the background, once each; a receiver that is away or slow misses its calls."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._room = threading.BoundedSemaphore(PENDING_LIMIT)
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="callbacks")

    def call(self, url: str, payload: dict[str, Any]) -> None:
        """Send `payload` as JSON to `url` soon; what goes wrong is logged."""
        if not self._room.acquire(blocking=False):
            host = urlsplit(url).hostname
            logger.warning("callback not delivered: %d wait already", PENDING_LIMIT, extra={"callback_host": host})
            return
        self._pool.submit(self._call, url, payload).add_done_callback(lambda _: self._room.release())

    def close(self) -> None:
        """Finish the calls under way and stop."""
        self._pool.shutdown(wait=True, cancel_futures=False)

    def _call(self, url: str, payload: dict[str, Any]) -> None:
        try:
            address, port = check_callback(url, allow_private=self._allow_private)
            status = _post(url, address, port, json.dumps(payload).encode())
        except (InvalidCallbackError, OSError, http.client.HTTPException) as error:
            logger.warning("callback not delivered: %s", error, extra={"callback_host": urlsplit(url).hostname})
        else:
            level = logging.INFO if status < 300 else logging.WARNING
            logger.log(level, "callback answered %d", status, extra={"callback_host": urlsplit(url).hostname})


def _post(url: str, address: str, port: int, body: bytes) -> int:
    """POST to the address that was checked, under the URL's own host name, and return the status."""
    parts = urlsplit(url)
    host = parts.hostname or address
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=CALL_SECONDS)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=CALL_SECONDS)
    # Connect to the checked address itself, so that the name cannot point elsewhere by now.
    connection._create_connection = (  # type: ignore[attr-defined]  # noqa: SLF001 - the seam http.client has for it
        lambda _address, timeout, source: socket.create_connection((address, port), timeout, source)
    )
    target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    try:
        connection.request(
            "POST",
            target,
            body,
            {"Content-Type": "application/json", "User-Agent": "agent-service", "Host": parts.netloc},
        )
        return connection.getresponse().status
    finally:
        connection.close()
