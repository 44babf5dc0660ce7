"""Profiles: what a stretch of work did with its time or its memory, down to the line.

Nothing here runs until a profile is asked for, and the profilers themselves are imported only then. Each kind ends in
the same `Measured`: stacks with a weight, and a table. Flame graph, speedscope file and table are drawn from that.
"""

from agent_service.telemetry.profiles.collectors import (
    GuardedCollector,
    ProfilerBusyError,
    collector_for_call,
    collector_for_process,
)
from agent_service.telemetry.profiles.flamegraph import flame_graph
from agent_service.telemetry.profiles.measured import Measured, Place, ProfileKind, Row, Stack, Unit
from agent_service.telemetry.profiles.speedscope import speedscope

__all__ = [
    "GuardedCollector",
    "Measured",
    "Place",
    "ProfileKind",
    "ProfilerBusyError",
    "Row",
    "Stack",
    "Unit",
    "collector_for_call",
    "collector_for_process",
    "flame_graph",
    "speedscope",
]
