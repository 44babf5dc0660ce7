"""The machine that all of it runs on: what two dashboards show of it."""

from __future__ import annotations

from typing import Final

from grafana.source.limits import limits
from grafana.source.panels import RATIO, THIRD, Panel, series
from grafana.source.queries import lines

_FILES: Final = 'fstype!~"tmpfs|overlay|ramfs|squashfs"'
_FREE: Final = f"node_filesystem_avail_bytes{{{_FILES}}} / node_filesystem_size_bytes{{{_FILES}}}"


def panels() -> list[Panel]:
    """Return the three that are watched by alerts: processors, memory, disks."""
    return [
        series(
            "Processors of the machine",
            "How busy is it?",
            lines('1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))', "{{instance}}"),
            unit=RATIO,
            limits=limits("HostCpuHigh"),
            alerts=["HostCpuHigh"],
            top=1,
            width=THIRD,
        ),
        series(
            "Memory left on the machine",
            "Will the kernel have to end a process?",
            lines("node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}"),
            unit=RATIO,
            limits=limits("HostMemoryLow"),
            alerts=["HostMemoryLow"],
            top=1,
            width=THIRD,
        ),
        series(
            "Space left on the machine",
            "Which disk fills up?",
            lines(f"min by (mountpoint) ({_FREE})", "{{mountpoint}}"),
            unit=RATIO,
            limits=limits("HostDiskNearlyFull"),
            alerts=["HostDiskNearlyFull", "HostDiskFilling"],
            top=1,
            width=THIRD,
        ),
    ]
