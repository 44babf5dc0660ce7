"""What a worker leaves in Redis, with what differs from run to run put aside, and how two such readings differ."""

import re

from redis import Redis
from rq.rate_limit import RateLimitRegistry

from agent_service.tasks.jobs import ATTEMPTS_FIELD, FIRST_PROCESS_FIELD, PROGRESS_FIELD, STOP_FIELD
from agent_service.tasks.workers import METRICS_FIELD

OURS = {ATTEMPTS_FIELD, FIRST_PROCESS_FIELD, PROGRESS_FIELD, STOP_FIELD, METRICS_FIELD}
VOLATILE = {
    "created_at", "enqueued_at", "started_at", "ended_at", "last_heartbeat", "execution_started_at",
    "execution_ended_at", "data", "meta", "description", "worker_name", "return_value", "result", "exc_string",
    "exc_info", "execution_id", "retry_intervals",
}  # fmt: skip
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}")


def snapshot(redis: Redis, worker: str) -> dict[str, object]:
    """Return every key of RQ's, its fields, whether it expires, with what differs from run to run put aside."""
    for registry in RateLimitRegistry.all(redis):
        registry.cleanup()  # RQ's own maintenance, which our worker runs more often
    kept = {}
    for raw in redis.scan_iter("rq:*"):
        key = ID.sub("<id>", raw.decode().replace(worker, "<worker>"))
        if key.startswith(("rq:worker", "rq:scheduler", "rq:clean_", "rq:rate_limit_cleaning")) or "lock" in key:
            continue  # the worker's own records are compared by their content in `rq info`; locks come and go
        kept[key] = (redis.type(raw).decode(), _content(redis, raw), redis.ttl(raw) > 0)
    return kept


def _content(redis: Redis, key: bytes) -> object:
    kind = redis.type(key)
    if kind == b"hash":
        return {name: value for name, value in _fields(redis.hgetall(key)).items() if name not in OURS}
    if kind == b"stream":
        return [_fields(entry) for _, entry in redis.xrange(key)]
    if kind == b"zset":
        return len(redis.zrange(key, 0, -1))
    if kind == b"set":
        return len(redis.smembers(key))
    return redis.llen(key) if kind == b"list" else None


def _fields(raw: dict[bytes, bytes]) -> dict[str, str]:
    return {
        name.decode(): "<any>" if name.decode() in VOLATILE else value.decode(errors="replace")
        for name, value in raw.items()
    }


def differences(mine: dict[str, object], theirs: dict[str, object]) -> list[str]:
    """Return a line for each key, and for each field of a hash or entry of a stream, that the two do not share."""
    found = [f"only ours: {key}" for key in mine.keys() - theirs.keys()]
    found += [f"only stock: {key}" for key in theirs.keys() - mine.keys()]
    for key in mine.keys() & theirs.keys():
        found += [f"{key}: {line}" for line in _unlike(mine[key], theirs[key])]
    return sorted(found)


def _unlike(ours, theirs):
    if ours == theirs:
        return
    (_, content, expires), (_, their_content, they_expire) = ours, theirs
    if expires != they_expire:
        yield f"expires {expires}, stock {they_expire}"
    if isinstance(content, dict):
        names = sorted(content.keys() | their_content.keys())
        yield from (
            f"{name} {content.get(name)!r}, stock {their_content.get(name)!r}"
            for name in names
            if content.get(name) != their_content.get(name)
        )
    elif content != their_content:
        yield f"{content}, stock {their_content}"
