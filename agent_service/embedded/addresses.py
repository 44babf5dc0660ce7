"""Where the service is, for a client on this machine."""

from __future__ import annotations

from agent_service.settings import Settings

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - read, not listened on
"""Addresses to listen on that cannot be connected to, and what stands for them here."""


def local_address(host: str) -> str:
    """Return the address under which this machine reaches a server that listens on `host`."""
    return ANYWHERE.get(host, host)


def local_url(host: str, port: int) -> str:
    """Return the URL under which this machine reaches a server that listens there."""
    address = local_address(host)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def api_url(settings: Settings) -> str:
    """Return where clients find the API: API_URL where it is set, else what follows from API_HOST and API_PORT."""
    if "api_url" in settings.model_fields_set:
        return settings.api_url.rstrip("/")
    return local_url(settings.api_host, settings.api_port)


def metrics_url(settings: Settings) -> str:
    """Return where the API's internal port is."""
    return local_url(settings.metrics_host, settings.metrics_port)
