"""The live workers, as they registered themselves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from redis import Redis
from rq.suspension import is_suspended
from rq.utils import utcparse
from rq.worker import BaseWorker
from rq.worker_registration import REDIS_WORKER_KEYS

from agent_service.tasks.models import WorkerRecord
from agent_service.telemetry.contract import WorkerState

METRICS_FIELD = "metrics_address"
"""A field of the worker's hash beside RQ's own: where Prometheus reads the worker."""
SILENT_SECONDS = 30.0
"""A worker that was not heard of for so long is taken for gone, though RQ keeps its hash for minutes."""


def live_workers(redis: Redis) -> list[WorkerRecord]:
    """Return the workers that were heard of lately, stock RQ workers among them.

    Raises:
        RedisError: Redis is away.
    """
    keys = sorted(key.decode() for key in redis.smembers(REDIS_WORKER_KEYS))  # type: ignore[union-attr]
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(key)
        pipeline.smembers(f"{key}:executions")
    answers = pipeline.execute() if keys else []
    suspended = bool(keys) and bool(is_suspended(redis))
    records = []
    for key, fields, executions in zip(keys, answers[::2], answers[1::2], strict=True):
        record = _record(key, {k.decode(): v.decode(errors="replace") for k, v in fields.items()}, executions)
        if record is not None:
            records.append(record.model_copy(update={"state": WorkerState.SUSPENDED}) if suspended else record)
    return records


def _record(key: str, fields: dict[str, str], executions: Iterable[bytes]) -> WorkerRecord | None:
    if "death" in fields or "last_heartbeat" not in fields:
        return None
    heard = utcparse(fields["last_heartbeat"])
    # A stock worker is only heard of every few minutes while it is idle; its hash's own expiry speaks for it.
    if METRICS_FIELD in fields and (datetime.now(UTC) - heard).total_seconds() > SILENT_SECONDS:
        return None
    return WorkerRecord(
        name=key.removeprefix(BaseWorker.redis_worker_namespace_prefix),
        queue=fields.get("queues", ""),
        state=fields.get("state", WorkerState.IDLE),
        hostname=fields.get("hostname", ""),
        pid=int(fields.get("pid") or 0),
        metrics_address=fields.get(METRICS_FIELD) or None,
        task_ids=sorted(execution.decode().partition(":")[0] for execution in executions),
        last_heartbeat=heard,
    )


def service_discovery(redis: Redis) -> list[dict[str, object]]:
    """Return the workers as Prometheus' HTTP service discovery wants them.

    Source: https://prometheus.io/docs/prometheus/latest/http_sd/

    Raises:
        RedisError: Redis is away.
    """
    return [
        {"targets": [worker.metrics_address], "labels": {"queue": worker.queue, "worker": worker.name}}
        for worker in live_workers(redis)
        if worker.metrics_address
    ]
