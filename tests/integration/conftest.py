"""Fixtures that start the service."""

import pytest

from tests.integration.system import System


@pytest.fixture
def make_system(valkey_url, redis_client, tmp_path):
    """Return a function that makes a system with settings of the test's own; nothing is started yet."""
    made = []

    def make(**settings):
        system = System(valkey_url, tmp_path / f"system{len(made)}", **settings)
        made.append(system)
        return system

    yield make
    for system in made:
        system.close()


@pytest.fixture
def system(make_system):
    """Return a system with the API and one worker."""
    made = make_system()
    made.start_api()
    made.start_worker()
    return made
