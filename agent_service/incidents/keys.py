"""The Redis keys of this room."""

from __future__ import annotations

import hashlib
from typing import Final

ALL_INCIDENTS: Final = "agents:incidents"
"""A sorted set of every incident's id with the score 0: ids are UUIDv7, so their order is that of opening."""
ACTIVE_INCIDENTS: Final = "agents:incidents:active"
"""The set of the ids of those that are not resolved, which every scrape reads."""


def incident(incident_id: str) -> str:
    """Return the key of one incident's JSON document."""
    return f"agents:incident:{incident_id}"


def group(group_key: str) -> str:
    """Return the key that leads from Alertmanager's group to the incident that a new firing belongs to."""
    return f"agents:incident-group:{hashlib.sha256(group_key.encode()).hexdigest()}"
