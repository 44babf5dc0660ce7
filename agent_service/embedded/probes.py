"""Asks a local HTTP server one question.

Only with what Python itself brings: a client library's import would delay every start.
"""

from __future__ import annotations

import http.client
import json
from typing import Any

ANSWER_SECONDS = 2.0


def status(host: str, port: int, path: str) -> int:
    """Return the status of a GET, whatever its body is, or 0 where nothing answers."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def get(host: str, port: int, path: str) -> tuple[int, Any]:
    """Return the status and the JSON body of a GET, or 0 and None where nothing answers.

    Args:
        host: An address of this machine.
        port: A TCP port.
        path: Path and query.
    """
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    except (OSError, http.client.HTTPException, ValueError):
        return 0, None
    finally:
        connection.close()
