"""Profiles that were taken, and those that are asked for: kept in Redis, where the API and every worker find them.

A profile is some tens of kilobytes, compressed; how many there are is bounded per agent and in all, and each expires.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from redis import Redis
from rq.command import send_command
from rq.job import Job

from agent_service.settings import Settings
from agent_service.tasks import keys
from agent_service.tasks.errors import ProfileNotFoundError, WorkerNotFoundError
from agent_service.tasks.jobs import PROFILES_FIELD
from agent_service.tasks.models import WorkerRecord
from agent_service.tasks.workers import live_workers
from agent_service.telemetry.profiles import Measured, Place, ProfileKind, Row, Stack, Unit

logger = logging.getLogger(__name__)

PROFILES_LIMIT = 200
"""Profiles in all; together with the limit of each, at most some 25 MB of Valkey's memory."""
PROFILE_BYTES = 128 * 1024
"""Most bytes of one profile, compressed; where it would be more, its lightest stacks go."""
REQUEST_SECONDS = 24 * 3600
"""How long the tasks of an agent are waited for that are to be profiled."""
WATCH_COMMAND = "watch-profiles"
"""Tells a worker that agents are to be profiled, or no more; which, it reads."""
PROFILE_COMMAND = "profile-worker"
"""Tells a worker to profile itself."""

_LINK = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  local ids = redis.call('HGET', KEYS[1], ARGV[1])
  redis.call('HSET', KEYS[1], ARGV[1], ids and ids .. ',' .. ARGV[2] or ARGV[2])
end
"""
_CLAIM = """
local raw = redis.call('HGET', KEYS[1], ARGV[1])
if not raw then return 0 end
local request = cjson.decode(raw)
local is_over = request.until_ms < tonumber(ARGV[3])
if is_over or request.kind ~= ARGV[2] then
  if is_over then redis.call('HDEL', KEYS[1], ARGV[1]) end
  return 0
end
request.left = request.left - 1
if request.left > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(request))
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return 1
"""


class ProfileSummary(BaseModel):
    """A profile, without its table.

    Attributes:
        worker: The worker that ran what was profiled.
        seconds: How long the profiled stretch took.
        top: What took most of the agent's own code: its function, and `file:line`.
        top_source: The text of that line.
        note: What is to be known to judge it.
        links: Where the profile is read in its several forms.
    """

    id: str
    kind: ProfileKind
    agent: str | None = None
    task_id: str | None = None
    worker: str
    workflow_id: str | None = None
    started_at: AwareDatetime
    seconds: float
    unit: Unit = Unit.SECONDS
    total: float = Field(default=0.0, description="Seconds, or bytes, that the profile accounts for.")
    top: str | None = None
    top_source: str | None = None
    note: str | None = None
    links: dict[str, str] = Field(default_factory=dict)


class Profile(ProfileSummary):
    """A profile with its table, most expensive first."""

    rows: list[Row]


class ProfileList(BaseModel):
    """Profiles, newest first."""

    profiles: list[ProfileSummary]


@dataclass(frozen=True, slots=True)
class ProfileFilter:
    """Which profiles are wanted; None takes any."""

    task_id: str | None = None
    agent: str | None = None
    worker: str | None = None

    def takes(self, profile: ProfileSummary) -> bool:
        """Return whether a profile is one of those."""
        wanted = {"task_id": self.task_id, "agent": self.agent, "worker": self.worker}
        return all(value is None or getattr(profile, name) == value for name, value in wanted.items())


class ProfileStore:
    """Keeps profiles and requests for them."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._seconds = int(timedelta(days=settings.profile_days).total_seconds())
        self._per_agent = settings.profiles_per_agent
        self._link = redis.register_script(_LINK)
        self._claim = redis.register_script(_CLAIM)

    # Profiles

    def save(self, summary: ProfileSummary, measured: Measured) -> ProfileSummary:
        """Keep a profile, link its task to it, and let the oldest go where there are too many.

        Args:
            summary: Whose it is; what follows from the measurement is filled in.
            measured: What was measured.

        Raises:
            RedisError: Redis is away.
        """
        whole = summary.model_copy(
            update={
                "unit": measured.unit,
                "total": measured.total,
                "top": measured.top.place if measured.top else None,
                "top_source": measured.top.source if measured.top else None,
                "note": measured.note,
                "links": links_of(summary.id),
            }
        )
        key, of_agent = keys.profile(whole.id), keys.profiles_of(whole.agent or f"worker:{whole.worker}")
        pipeline = self._redis.pipeline()
        pipeline.hset(key, mapping={"summary": whole.model_dump_json(), "data": _packed(measured)})
        pipeline.expire(key, self._seconds)
        for index in (keys.ALL_PROFILES, of_agent):
            pipeline.zadd(index, {whole.id: 0})
            pipeline.expire(index, self._seconds)
        pipeline.zrange(of_agent, 0, -1 - self._per_agent)
        pipeline.zrange(keys.ALL_PROFILES, 0, -1 - PROFILES_LIMIT)
        answers = pipeline.execute()
        self._drop({*answers[-1], *answers[-2]}, of_agent)
        if whole.task_id:
            self._link(keys=[Job.key_for(whole.task_id)], args=[PROFILES_FIELD, whole.id])
        return whole

    def get(self, profile_id: str) -> tuple[ProfileSummary, Measured]:
        """Return a profile.

        Raises:
            ProfileNotFoundError: There is none of that id, or none any more.
            RedisError: Redis is away.
        """
        fields: list[bytes | None] = self._redis.hmget(keys.profile(profile_id), ["summary", "data"])  # type: ignore[assignment]
        if fields[0] is None or fields[1] is None:
            raise ProfileNotFoundError(profile_id)
        return ProfileSummary.model_validate_json(fields[0]), _unpacked(fields[1])

    def find(self, wanted: ProfileFilter, limit: int) -> list[ProfileSummary]:
        """Return profiles, newest first.

        Raises:
            RedisError: Redis is away.
        """
        ids: list[bytes] = self._redis.zrevrange(keys.ALL_PROFILES, 0, -1)  # type: ignore[assignment]
        pipeline = self._redis.pipeline(transaction=False)
        for profile_id in ids:
            pipeline.hget(keys.profile(profile_id.decode()), "summary")
        answers = pipeline.execute() if ids else []
        gone = [profile_id for profile_id, raw in zip(ids, answers, strict=True) if raw is None]
        if gone:
            self._redis.zrem(keys.ALL_PROFILES, *gone)
        found = (_summary(raw) for raw in answers if raw is not None)
        return [profile for profile in found if profile is not None and wanted.takes(profile)][:limit]

    def _drop(self, ids: Iterable[bytes], of_agent: str) -> None:
        doomed = list(ids)
        if not doomed:
            return
        pipeline = self._redis.pipeline()
        pipeline.delete(*(keys.profile(profile_id.decode()) for profile_id in doomed))
        pipeline.zrem(keys.ALL_PROFILES, *doomed)
        pipeline.zrem(of_agent, *doomed)
        pipeline.execute()

    # Requests

    def request_tasks(self, agent: str, kind: ProfileKind, tasks: int) -> None:
        """Have the next tasks of an agent profiled, in place of what was asked for before.

        Args:
            agent: The agent's name.
            kind: How.
            tasks: How many.

        Raises:
            RedisError: Redis is away.
        """
        until = datetime.now(UTC) + timedelta(seconds=REQUEST_SECONDS)
        request = {"kind": kind.value, "left": tasks, "until_ms": round(until.timestamp() * 1000)}
        self._redis.hset(keys.PROFILE_REQUESTS, agent, json.dumps(request))
        for worker in live_workers(self._redis):
            send_command(self._redis, worker.name, WATCH_COMMAND)

    def requested_agents(self) -> dict[str, ProfileKind]:
        """Return the agents of which tasks are to be profiled, and how.

        Raises:
            RedisError: Redis is away.
        """
        raw: dict[bytes, bytes] = self._redis.hgetall(keys.PROFILE_REQUESTS)  # type: ignore[assignment]
        return {agent.decode(): ProfileKind(json.loads(request)["kind"]) for agent, request in raw.items()}

    def claim(self, agent: str, kind: ProfileKind) -> bool:
        """Take one of the tasks of an agent that are to be profiled so; False where there is none left.

        Raises:
            RedisError: Redis is away.
        """
        now = round(datetime.now(UTC).timestamp() * 1000)
        return bool(self._claim(keys=[keys.PROFILE_REQUESTS], args=[agent, kind.value, now]))

    def request_worker(self, worker: str, profile_id: str, kind: ProfileKind, seconds: float) -> WorkerRecord:
        """Have a worker profile its child.

        Args:
            worker: The worker's name.
            profile_id: The id that the profile will have.
            kind: How.
            seconds: For how long.

        Raises:
            WorkerNotFoundError: No live worker has that name, or it is a stock RQ worker, which cannot.
            RedisError: Redis is away.
        """
        record = next((live for live in live_workers(self._redis) if live.name == worker), None)
        if record is None or record.metrics_address is None:
            raise WorkerNotFoundError(worker)
        send_command(self._redis, worker, PROFILE_COMMAND, profile_id=profile_id, kind=kind.value, seconds=seconds)
        return record


def links_of(profile_id: str) -> dict[str, str]:
    """Return where the API shows a profile."""
    path = f"/profiles/{profile_id}"
    return {
        "self": path,
        "table": path,
        "flamegraph": f"{path}/flamegraph.svg",
        "speedscope": f"{path}/speedscope.json",
    }


def title_of(summary: ProfileSummary) -> str:
    """Return what a profile is called where it is drawn."""
    whose = f"{summary.agent}, task {summary.task_id}" if summary.agent else f"worker {summary.worker}"
    return f"{summary.kind} of {whose}"


def _summary(raw: bytes) -> ProfileSummary | None:
    try:
        return ProfileSummary.model_validate_json(raw)
    except ValidationError as error:
        logger.warning("a profile of another version is passed over: %s", error)
        return None


def _packed(measured: Measured) -> bytes:
    """Return a measurement as few bytes, without its lightest stacks where it takes that."""
    stacks = sorted(measured.stacks.items(), key=lambda item: item[1], reverse=True)
    while True:
        packed = zlib.compress(orjson.dumps(_document(measured, dict(stacks))))
        if len(packed) <= PROFILE_BYTES or not stacks:
            return packed
        stacks = stacks[: len(stacks) // 2]


def _document(measured: Measured, stacks: Mapping[Stack, float]) -> dict[str, Any]:
    places: dict[Place, int] = {}
    numbered = [[places.setdefault(place, len(places)) for place in stack] for stack in stacks]
    return {
        "unit": measured.unit.value,
        "places": [list(place) for place in places],
        "stacks": numbered,
        "weights": list(stacks.values()),
        "rows": [row.model_dump(exclude_none=True) for row in measured.rows],
        "own_files": sorted(measured.own_files),
    }


def _unpacked(raw: bytes) -> Measured:
    document = orjson.loads(zlib.decompress(raw))
    places = [Place(*place) for place in document["places"]]
    stacks = (tuple(places[number] for number in stack) for stack in document["stacks"])
    return Measured(
        unit=Unit(document["unit"]),
        stacks=dict(zip(stacks, document["weights"], strict=True)),
        rows=[Row.model_validate(row) for row in document["rows"]],
        own_files=frozenset(document["own_files"]),
    )
