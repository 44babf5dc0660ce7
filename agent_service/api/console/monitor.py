"""Watches the system for the console: a thread that looks every few seconds and keeps the last minutes.

It looks more often while somebody looks at the console, and costs the same whether one does or many do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from redis.exceptions import RedisError

from agent_service.api.console.host import Host, HostReading
from agent_service.api.console.points import POINTS_KEPT, Point, Ring
from agent_service.api.console.worker_metrics import Measure, Totals, WorkerMetricsReader, WorkerReading
from agent_service.api.services import Services
from agent_service.tasks.models import TaskStatus, WorkerRecord
from agent_service.tasks.queues import QueueGauges, QueueStats
from agent_service.tasks.spans import tool_seconds
from agent_service.tasks.workers import live_workers
from agent_service.telemetry.contract import Outcome, QueueState, WorkerState

logger = logging.getLogger(__name__)

WATCHED_SECONDS: Final = 1.0
POINT_SECONDS: Final = 2.0
"""Least time between two points of the charts."""
RATE_SECONDS: Final = 5.0
"""Over how long the rates of a point are taken, while somebody looks."""
UNWATCHED_SECONDS: Final = 10.0
WATCH_LASTS_SECONDS: Final = 30.0
FIRST_SECONDS: Final = 1.0
TABLE_SECONDS: Final = 60.0
"""Over how long the rates in tables are taken."""
TOOLS_SECONDS: Final = 10.0
TOOLS_TASKS: Final = 12
"""Tasks whose traces are looked into for the time in tools."""
TOOLS_SCAN: Final = 200
FAILED: Final = (Outcome.FAILURE.value, Outcome.TIMEOUT.value, Outcome.CRASH.value)


@dataclass(frozen=True, slots=True)
class AgentLoad:
    """What an agent did over the last minute, and what it uses.

    Attributes:
        rate: Attempts that ended, a second.
        success: Share of the tasks that ended well, over the time that is kept; None where none ended.
        failed: Tasks that failed, over that time.
        wait: Mean wait in seconds.
        run: Mean run in seconds.
        running: Tasks that run now.
        cpu: Processors in use.
        memory_bytes: Peak while it last ran.
        read: Bytes a second from storage.
        write: Bytes a second to storage.
    """

    name: str
    rate: float = 0.0
    success: float | None = None
    failed: float = 0.0
    wait: float | None = None
    run: float | None = None
    running: float = 0.0
    cpu: float | None = None
    memory_bytes: float | None = None
    read: float | None = None
    write: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """A worker and what it uses."""

    record: WorkerRecord
    cpu: float | None = None
    memory_bytes: float | None = None
    read: float | None = None
    write: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The system as last looked at.

    Attributes:
        at: Unix time in seconds; 0 before the first look.
        trouble: What kept it from being looked at, for a person; empty where nothing did.
        success: Share of the tasks that ended well over the time that is kept.
        window: How long that time is, in seconds.
    """

    at: float = 0.0
    trouble: str = ""
    stats: QueueStats | None = None
    host: HostReading | None = None
    workers: tuple[WorkerLoad, ...] = ()
    agents: Mapping[str, AgentLoad] = field(default_factory=dict)
    success: float | None = None
    failed: float = 0.0
    window: float = 0.0
    point: Point = field(default_factory=lambda: Point(0.0))

    def tasks(self, state: QueueState) -> int | None:
        """Return how many tasks of all queues are in a state."""
        return sum(states.get(state, 0) for states in self.stats.tasks.values()) if self.stats else None

    @property
    def oldest_seconds(self) -> float | None:
        """How long the longest waiting head of a queue has waited."""
        return max(self.stats.oldest_seconds.values(), default=0.0) if self.stats else None

    def workers_in(self, state: WorkerState) -> int:
        """Return how many workers are in a state."""
        return sum(load.record.state == state for load in self.workers)


class Monitor:
    """Looks at the system and remembers.

    Attributes:
        ring: The points of the last minutes.
        snapshot: What was seen last.
    """

    def __init__(self, services: Services) -> None:
        self.ring = Ring()
        self.snapshot = Snapshot()
        self._services = services
        self._gauges = QueueGauges(services.redis, services.agents, services.settings.worker_queues)
        self._host = Host(services.settings.var_dir)
        self._reader = WorkerMetricsReader()
        self._known: dict[str, Totals] = {}
        self._totals: Totals = defaultdict(float)
        self._history: deque[tuple[float, Totals]] = deque(maxlen=POINTS_KEPT)
        self._now = 0.0
        self._tools_share: float | None = None
        self._tools_at = 0.0
        self._watched_at = float("-inf")
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="console-monitor", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._reader.close()

    def watch(self) -> None:
        """Tell that somebody looks at the console now."""
        was_watched = self._is_watched()
        self._watched_at = time.monotonic()
        if not was_watched:
            self._wake.set()

    def _is_watched(self) -> bool:
        return time.monotonic() - self._watched_at < WATCH_LASTS_SECONDS

    def _run(self) -> None:
        wait = FIRST_SECONDS
        while not self._stopped.is_set():
            self._wake.wait(wait)
            self._wake.clear()
            if self._stopped.is_set():
                return
            began = time.monotonic()
            self._look_safely()
            pace = WATCHED_SECONDS if self._is_watched() else UNWATCHED_SECONDS
            wait = max(0.1, pace - (time.monotonic() - began))

    def _look_safely(self) -> None:
        try:
            self.look()
            self._failing = False
        except Exception:
            if not self._failing:
                logger.exception("the console does not see how the system is")
            self._failing = True

    def look(self) -> None:
        """Look once."""
        now = time.time()
        host = self._host.read()
        try:
            stats, records = self._gauges.measure(), live_workers(self._services.redis)
            self._look_into_tools(now)
        except (RedisError, OSError):
            point = Point(now, **_host_values(host))
            self.snapshot = Snapshot(at=now, trouble="The queue server does not answer.", host=host, point=point)
            self._keep(point)
            return
        readings = self._reader.read(records)
        loads = tuple(self._worker_load(record, readings.get(record.name)) for record in records)
        self._add_up(readings)
        self._now = now
        if not self._history:
            self._history.append((now, self._totals.copy()))
        point = self._point(now, host, stats, records)
        total = _Ended.of(self._change(POINTS_KEPT * UNWATCHED_SECONDS)[1])
        self.snapshot = Snapshot(
            at=now,
            stats=stats,
            host=host,
            workers=loads,
            agents=self._agent_loads(readings),
            success=total.success,
            failed=total.failed,
            window=now - self._history[0][0],
            point=point,
        )
        self._keep(point)

    def _keep(self, point: Point) -> None:
        """Keep a point for the charts, and what was counted until then, unless the last are only a moment old."""
        last = self.ring.last()
        if last is not None and point.at - last < 0.9 * POINT_SECONDS:
            return
        self.ring.add(point)
        self._history.append((point.at, self._totals.copy()))

    # What the workers counted, added up over the lives of all of them.

    def _add_up(self, readings: Mapping[str, WorkerReading]) -> None:
        is_first = not self._history
        for name, reading in readings.items():
            before = self._known.get(name)
            self._known[name] = reading.totals
            if before is None and is_first:
                continue  # what it counted before the console was there is no news
            for key, value in reading.totals.items():
                earlier = before.get(key, 0.0) if before else 0.0
                self._totals[key] += value - earlier if value >= earlier else value
        if len(self._known) > 4 * max(16, len(readings)):  # workers that are gone for good
            self._known = {name: self._known[name] for name in readings}

    def _change(self, seconds: float) -> tuple[float, Totals]:
        """Return how long the time was that is kept of the last `seconds`, and what was counted in it."""
        within = (entry for entry in self._history if entry[0] >= self._now - seconds)
        begin, earlier = next(within, self._history[-1])
        changed: Totals = defaultdict(
            float, {key: value - earlier.get(key, 0.0) for key, value in self._totals.items()}
        )
        return self._now - begin, changed

    def _point(self, now: float, host: HostReading, stats: QueueStats, records: list[WorkerRecord]) -> Point:
        passed, changed = self._change(RATE_SECONDS)
        ended, run = _Ended.of(changed), _mean(changed, Measure.RUN_SECONDS, Measure.RUNS)
        return Point(
            now,
            done=ended.done / passed if passed else None,
            failed=ended.failed / passed if passed else None,
            retried=ended.retried / passed if passed else None,
            queued=sum(states.get(QueueState.QUEUED, 0) for states in stats.tasks.values()),
            running=sum(states.get(QueueState.STARTED, 0) for states in stats.tasks.values()),
            oldest=max(stats.oldest_seconds.values(), default=0.0),
            wait=_mean(changed, Measure.WAIT_SECONDS, Measure.WAITS),
            run=run,
            tools=run * self._tools_share if run is not None and self._tools_share is not None else None,
            busy=sum(record.state == WorkerState.BUSY for record in records),
            workers=len(records),
            **_host_values(host),
        )

    def _agent_loads(self, readings: Mapping[str, WorkerReading]) -> dict[str, AgentLoad]:
        passed, minute = self._change(TABLE_SECONDS)
        _, whole = self._change(POINTS_KEPT * UNWATCHED_SECONDS)
        names = {agent for agent, _ in self._totals} | {
            name for reading in readings.values() for name in reading.running
        }
        return {name: _agent_load(name, passed, minute, whole, readings.values()) for name in sorted(names)}

    def _worker_load(self, record: WorkerRecord, reading: WorkerReading | None) -> WorkerLoad:
        if reading is None:
            return WorkerLoad(record)
        read, write = self._io_rates(record.name, reading)
        return WorkerLoad(record, reading.cpu_ratio, reading.memory_bytes, read, write)

    def _io_rates(self, name: str, reading: WorkerReading) -> tuple[float | None, float | None]:
        before = self._known.get(name)
        if before is None:
            return None, None
        passed = max(0.1, time.time() - self._now)
        now_read, was_read = _sum(reading.totals, Measure.READ_BYTES), _sum(before, Measure.READ_BYTES)
        now_write, was_write = _sum(reading.totals, Measure.WRITE_BYTES), _sum(before, Measure.WRITE_BYTES)
        return max(0.0, now_read - was_read) / passed, max(0.0, now_write - was_write) / passed

    # The share of tools, from the traces of a few tasks that ended lately.

    def _look_into_tools(self, now: float) -> None:
        if now - self._tools_at < TOOLS_SECONDS or not self._is_watched():
            return
        self._tools_at = now
        tasks = self._services.reader.page(status=TaskStatus.FINISHED, limit=TOOLS_TASKS, scan=TOOLS_SCAN).tasks
        journal = self._services.journal
        spans = {trace: journal.spans(trace) for trace in {task.trace_id for task in tasks} if trace}
        run = tools = 0.0
        for task in tasks:
            if task.trace_id and spans[task.trace_id] and task.started_at and task.ended_at:
                run += (task.ended_at - task.started_at).total_seconds()
                tools += tool_seconds(spans[task.trace_id], task.id)
        self._tools_share = min(1.0, tools / run) if run else None


@dataclass(frozen=True, slots=True)
class _Ended:
    """How attempts ended."""

    done: float
    failed: float
    retried: float

    @classmethod
    def of(cls, changed: Totals, agent: str | None = None) -> _Ended:
        counts: defaultdict[str, float] = defaultdict(float)
        for (name, what), value in changed.items():
            if agent is None or name == agent:
                counts[what] += value
        return cls(
            done=counts[Outcome.SUCCESS.value],
            failed=sum(counts[outcome] for outcome in FAILED),
            retried=counts[Outcome.RETRY.value],
        )

    @property
    def success(self) -> float | None:
        total = self.done + self.failed
        return self.done / total if total else None


def _agent_load(
    name: str, passed: float, minute: Totals, whole: Totals, readings: Iterable[WorkerReading]
) -> AgentLoad:
    ended, lately = _Ended.of(whole, name), _Ended.of(minute, name)
    readings = list(readings)
    memory = [reading.memory_of[name] for reading in readings if name in reading.memory_of]
    return AgentLoad(
        name,
        rate=(lately.done + lately.failed + lately.retried) / passed if passed else 0.0,
        success=ended.success,
        failed=ended.failed,
        wait=_mean_of(minute, name, Measure.WAIT_SECONDS, Measure.WAITS),
        run=_mean_of(minute, name, Measure.RUN_SECONDS, Measure.RUNS),
        running=sum(reading.running.get(name, 0.0) for reading in readings),
        cpu=minute[name, Measure.CPU_SECONDS.value] / passed if passed else None,
        memory_bytes=max(memory, default=None),
        read=minute[name, Measure.READ_BYTES.value] / passed if passed else None,
        write=minute[name, Measure.WRITE_BYTES.value] / passed if passed else None,
    )


def _host_values(host: HostReading) -> dict[str, float | None]:
    return {
        "cpu": host.cpu,
        "memory": host.memory,
        "disk_read": host.disk_read,
        "disk_write": host.disk_write,
        "net_in": host.net_in,
        "net_out": host.net_out,
    }


def _sum(totals: Totals, measure: Measure) -> float:
    return sum(value for (_, what), value in totals.items() if what == measure)


def _mean(totals: Totals, amount: Measure, number: Measure) -> float | None:
    observed = _sum(totals, number)
    return _sum(totals, amount) / observed if observed else None


def _mean_of(totals: Totals, agent: str, amount: Measure, number: Measure) -> float | None:
    observed = totals[agent, number.value]
    return totals[agent, amount.value] / observed if observed else None
