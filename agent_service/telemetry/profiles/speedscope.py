"""A profile in the file format of speedscope, for looking at it there or in an editor.

Source: https://www.speedscope.app/file-format-schema.json
"""

from __future__ import annotations

from typing import Any

from agent_service.telemetry.profiles.measured import Measured, Place

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def speedscope(measured: Measured, name: str) -> dict[str, Any]:
    """Return the document, one sample for each stack.

    Args:
        measured: The profile.
        name: What it is called there.
    """
    places: dict[Place, int] = {}
    samples = [[places.setdefault(place, len(places)) for place in stack] for stack in measured.stacks]
    return {
        "$schema": SCHEMA,
        "exporter": "agent-service",
        "name": name,
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(place) for place in places]},
        "profiles": [
            {
                "type": "sampled",
                "name": name,
                "unit": measured.unit.value,
                "startValue": 0,
                "endValue": measured.total,
                "samples": samples,
                "weights": list(measured.stacks.values()),
            }
        ],
    }


def _frame(place: Place) -> dict[str, Any]:
    return {
        "name": place.function,
        **({"file": place.file} if place.file else {}),
        **({"line": place.line} if place.line else {}),
    }
