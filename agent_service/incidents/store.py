"""Incidents in Redis: a JSON document each, an index, and a way from Alertmanager's group to its incident.

Every change is read, decided and written under WATCH: where somebody else was faster, it is decided again on what they
left, so neither of two notifications nor of two people loses what they did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError

from agent_service.incidents import keys
from agent_service.incidents.errors import IncidentNotFoundError
from agent_service.incidents.models import Incident, IncidentPage, IncidentStatus

CHUNK = 100
SCAN_LIMIT = 2_000
"""Incidents that one request for a page looks at; a filter that matches little answers with a short page."""
ATTEMPTS = 100
"""How often a change is decided again; each time somebody else's has succeeded."""


@dataclass(frozen=True, slots=True)
class Change:
    """An incident before and after; the same object twice where nothing changed.

    Attributes:
        before: None where it was opened.
        after: None where there is none.
    """

    before: Incident | None
    after: Incident | None


class IncidentStore:
    """Keeps incidents."""

    def __init__(self, reads: Redis, writes: Redis, *, kept: timedelta, reopened: timedelta) -> None:
        """Take the clients.

        Args:
            reads: For reading.
            writes: For writing; one that sends nothing twice.
            kept: How long an incident is kept after it was resolved.
            reopened: How long after it was resolved a new firing opens it again instead of a new one.
        """
        self._reads = reads
        self._writes = writes
        self._kept = kept
        self._reopened = reopened

    def get(self, incident_id: str) -> Incident:
        """Return an incident.

        Raises:
            IncidentNotFoundError: There is none of that id.
            RedisError: Redis is away.
        """
        found = self._fetch([incident_id])[0]
        if found is None:
            raise IncidentNotFoundError(incident_id)
        return found

    def active(self) -> list[Incident]:
        """Return those that are not resolved, oldest first.

        Raises:
            RedisError: Redis is away.
        """
        members: set[bytes] = self._reads.smembers(keys.ACTIVE_INCIDENTS)  # type: ignore[assignment]
        ids = sorted(member.decode() for member in members)
        return [incident for incident in self._fetch(ids) if incident is not None]

    def page(
        self,
        *,
        status: IncidentStatus | None = None,
        severity: str | None = None,
        team: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> IncidentPage:
        """Return incidents, newest first.

        Args:
            status: Only those in this state.
            severity: Only those of this severity.
            team: Only those of this team.
            limit: Most incidents that are wanted.
            cursor: `next_cursor` of the page before.

        Raises:
            RedisError: Redis is away.
        """
        wanted = {"status": status, "severity": severity, "team": team}
        found: list[Incident] = []
        for seen, incident in enumerate(self.all(cursor), start=1):
            if all(value is None or getattr(incident, name) == value for name, value in wanted.items()):
                found.append(incident)
            if len(found) == limit or seen == SCAN_LIMIT:
                return IncidentPage(incidents=list(found), next_cursor=incident.id)
        return IncidentPage(incidents=list(found))

    def all(self, cursor: str | None = None) -> Iterator[Incident]:
        """Yield incidents, newest first, from the one after `cursor` on; ids of those that expired are dropped.

        Raises:
            RedisError: Redis is away.
        """
        while True:
            upper = f"({cursor}" if cursor else "+"
            raw: list[bytes] = self._reads.zrevrangebylex(  # type: ignore[assignment]
                keys.ALL_INCIDENTS, upper, "-", start=0, num=CHUNK
            )
            ids = [incident_id.decode() for incident_id in raw]
            if not ids:
                return
            cursor = ids[-1]
            incidents = self._fetch(ids)
            gone = [incident_id for incident_id, found in zip(ids, incidents, strict=True) if found is None]
            if gone:
                self._reads.zrem(keys.ALL_INCIDENTS, *gone)
            yield from (incident for incident in incidents if incident is not None)

    def change_group(self, group_key: str, decide: Callable[[Incident | None], Incident | None]) -> Change:
        """Change, or make, the incident to which a new firing of a group belongs.

        Args:
            group_key: Alertmanager's key of the group.
            decide: Gets the incident, if there is one, and returns what it is to be; called again where somebody
                else was faster.

        Raises:
            RedisError: Redis is away; the change may have been made or not.
        """

        def attempt(pipeline: Pipeline) -> Change:
            pipeline.watch(keys.group(group_key))
            raw: bytes | None = pipeline.get(keys.group(group_key))  # type: ignore[assignment]
            before = _watched(pipeline, raw.decode()) if raw else None
            return self._settle(pipeline, before, decide(before), leads=True)

        return self._transact(attempt)

    def change(self, incident_id: str, decide: Callable[[Incident], Incident]) -> Change:
        """Change an incident.

        Args:
            incident_id: Its id.
            decide: Gets the incident and returns what it is to be; called again where somebody else was faster.

        Raises:
            IncidentNotFoundError: There is none of that id.
            RedisError: Redis is away; the change may have been made or not.
        """

        def attempt(pipeline: Pipeline) -> Change:
            before = _watched(pipeline, incident_id)
            if before is None:
                raise IncidentNotFoundError(incident_id)
            # Where the group has got another incident since, the way there stays as it is.
            pipeline.watch(keys.group(before.group_key))
            led_to: bytes | None = pipeline.get(keys.group(before.group_key))  # type: ignore[assignment]
            return self._settle(pipeline, before, decide(before), leads=led_to == incident_id.encode())

        return self._transact(attempt)

    def _transact(self, attempt: Callable[[Pipeline], Change]) -> Change:
        with self._writes.pipeline() as pipeline:
            for _ in range(ATTEMPTS):
                try:
                    return attempt(pipeline)
                except WatchError:
                    continue
        raise WatchError(f"others changed the same incident {ATTEMPTS} times in a row")

    def _settle(self, pipeline: Pipeline, before: Incident | None, after: Incident | None, *, leads: bool) -> Change:
        if after is not None and after is not before:
            pipeline.multi()
            self._write(pipeline, after)
            if leads:
                self._lead(pipeline, after)
            pipeline.execute()
        return Change(before, after)

    def _write(self, pipeline: Pipeline, incident: Incident) -> None:
        expires = _moment(incident.resolved_at, self._kept)
        pipeline.set(keys.incident(incident.id), incident.model_dump_json(), exat=expires)
        pipeline.zadd(keys.ALL_INCIDENTS, {incident.id: 0})
        if incident.status.is_active:
            pipeline.sadd(keys.ACTIVE_INCIDENTS, incident.id)
        else:
            pipeline.srem(keys.ACTIVE_INCIDENTS, incident.id)

    def _lead(self, pipeline: Pipeline, incident: Incident) -> None:
        """Let the group lead to the incident for as long as a new firing belongs to it."""
        key = keys.group(incident.group_key)
        if incident.status is IncidentStatus.REVIEWED:
            pipeline.delete(key)
        else:
            pipeline.set(key, incident.id, exat=_moment(incident.resolved_at, self._reopened))

    def _fetch(self, ids: Sequence[str]) -> list[Incident | None]:
        if not ids:
            return []
        raw: list[bytes | None] = self._reads.mget([keys.incident(incident_id) for incident_id in ids])  # type: ignore[assignment]
        return [Incident.model_validate_json(document) if document else None for document in raw]


def _watched(pipeline: Pipeline, incident_id: str) -> Incident | None:
    pipeline.watch(keys.incident(incident_id))
    document: bytes | None = pipeline.get(keys.incident(incident_id))  # type: ignore[assignment]
    return Incident.model_validate_json(document) if document else None


def _moment(start: datetime | None, later: timedelta) -> int | None:
    """Return a Unix time after `start`, or None while there is no start."""
    return int((start + later).timestamp()) if start else None
