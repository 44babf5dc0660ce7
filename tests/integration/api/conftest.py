"""Fixtures of the API's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from agent_service.api.app import create_app
from agent_service.settings import Settings
from tests.integration.api.clients import DIGESTS, SAMPLE_AGENTS, InProcessApi, LiveApi, live_api

MakeApi = Callable[..., InProcessApi]


@pytest.fixture
def make_api(valkey_url: str, redis_client: redis.Redis) -> Iterator[MakeApi]:
    """Return a function that starts an API in this process, with settings of the test's own."""
    running: list[InProcessApi] = []

    def make(**changes: object) -> InProcessApi:
        settings = Settings.model_validate(
            {
                "redis_url": valkey_url,
                "api_keys_sha256": DIGESTS,
                "agent_modules": (SAMPLE_AGENTS,),
                **changes,
            }
        )
        running.append(InProcessApi(create_app(settings)))
        return running[-1]

    yield make
    for api in running:
        api.close()


@pytest.fixture
def api(make_api: MakeApi) -> InProcessApi:
    """Return an API in this process with the usual settings."""
    return make_api()


@pytest.fixture
def live(valkey_url: str, redis_client: redis.Redis) -> Iterator[LiveApi]:
    """Return an API in a process of its own with the usual settings."""
    with live_api(REDIS_URL=valkey_url) as running:
        yield running
