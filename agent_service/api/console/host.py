"""How the machine is, as this process sees it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

FIRST_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class HostReading:
    """The machine at one moment; rates are since the reading before, None at the first.

    Attributes:
        cpu: Share of all processors in use.
        cores: How many processors there are.
        load: Processes that ran or waited to, over the last minute.
        memory_used: Bytes that are not available to a new program.
        memory_total: Bytes.
        disk_used: Bytes of the file system that holds the data.
        disk_total: Bytes.
        disk_read: Bytes a second.
        disk_write: Bytes a second.
        net_in: Bytes a second.
        net_out: Bytes a second.
    """

    cpu: float
    cores: int
    load: float
    memory_used: float
    memory_total: float
    disk_used: float
    disk_total: float
    disk_read: float | None = None
    disk_write: float | None = None
    net_in: float | None = None
    net_out: float | None = None

    @property
    def memory(self) -> float:
        """The share of the memory in use."""
        return self.memory_used / self.memory_total if self.memory_total else 0.0


class Host:
    """Reads the machine."""

    def __init__(self, data: Path) -> None:
        """Take a path of the file system that holds the data."""
        self._data = next((path for path in (data, *data.absolute().parents) if path.is_dir()), Path("/"))
        self._before: tuple[float, tuple[int, ...]] | None = None

    def read(self) -> HostReading:
        """Return how it is now."""
        # The first reading has nothing to compare with, and there is one first for each thread.
        cpu = psutil.cpu_percent(None if self._before else FIRST_SECONDS)
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(self._data))
        rates = self._rates()
        return HostReading(
            cpu=cpu / 100,
            cores=psutil.cpu_count() or 1,
            load=psutil.getloadavg()[0],
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_used=disk.used,
            disk_total=disk.total,
            **rates,
        )

    def _rates(self) -> dict[str, float]:
        disk, net = psutil.disk_io_counters(), psutil.net_io_counters()
        now = time.monotonic()
        counts = (
            disk.read_bytes if disk else 0,
            disk.write_bytes if disk else 0,
            net.bytes_recv if net else 0,
            net.bytes_sent if net else 0,
        )
        before, self._before = self._before, (now, counts)
        if before is None or now <= before[0]:
            return {}
        passed = now - before[0]
        names = ("disk_read", "disk_write", "net_in", "net_out")
        return {
            name: max(0.0, (count - earlier) / passed)
            for name, count, earlier in zip(names, counts, before[1], strict=True)
        }
