"""Fixtures of the incidents' tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis

from agent_service.api.app import create_app
from agent_service.incidents import IncidentDesk, IncidentStore, load_policy
from agent_service.settings import Settings
from agent_service.telemetry.metrics import Metrics
from tests.integration.api.clients import DIGESTS, InProcessApi
from tests.unit.incidents.alerts import minutes

TOKEN = "at_a-token-of-alertmanager"
FROM_ALERTMANAGER = {"Authorization": f"Bearer {TOKEN}"}
TOKEN_DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
RUNBOOKS = Path(__file__).parent / "runbooks"


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = minutes(0)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def store(redis_client: redis.Redis) -> IncidentStore:
    return IncidentStore(redis_client, redis_client, kept=timedelta(days=36_500), reopened=timedelta(days=36_500))


@pytest.fixture
def desk(store: IncidentStore, metrics: Metrics, clock: Clock) -> IncidentDesk:
    return IncidentDesk(store, load_policy(), metrics, clock)


@pytest.fixture
def make_api(valkey_url: str, redis_client: redis.Redis) -> Iterator[Callable[..., InProcessApi]]:
    """Return a function that starts an API in this process, with settings of the test's own."""
    running: list[InProcessApi] = []

    def make(**changes: object) -> InProcessApi:
        settings = {
            "redis_url": valkey_url,
            "api_keys_sha256": DIGESTS,
            "alerts_token_sha256": TOKEN_DIGEST,
            "runbooks_dir": RUNBOOKS,
        }
        running.append(InProcessApi(create_app(Settings.model_validate(settings | changes))))
        return running[-1]

    yield make
    for api in running:
        api.close()


@pytest.fixture
def api(make_api: Callable[..., InProcessApi]) -> InProcessApi:
    return make_api()
