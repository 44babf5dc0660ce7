"""The same promises on the very Valkey image that docker-compose.yml names, where a Docker engine answers."""

import re
import warnings
from pathlib import Path

import pytest

from tests.integration.system import System, wait_until

COMPOSE = Path(__file__).parents[3] / "docker-compose.yml"


def image():
    found = re.search(r"image: \$\{VALKEY_IMAGE:-(\S+)\}", COMPOSE.read_text())
    assert found, "docker-compose.yml names no VALKEY_IMAGE"
    return found[1]


@pytest.fixture(scope="module")
def valkey_container():
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    client.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # testcontainers deprecates its own decorators while it is imported
        from testcontainers.core.container import DockerContainer
    command = "valkey-server --appendonly yes --requirepass from-the-image"
    with DockerContainer(image()).with_command(command).with_exposed_ports(6379) as container:
        yield f"redis://:from-the-image@{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"


def test_tasks_retries_crashes_and_workflows_on_the_image(valkey_container, tmp_path):
    system = System(valkey_container, tmp_path)
    try:
        system.start_api()
        system.start_worker()
        assert system.wait_for(system.submit("fault-sleep", seconds=0), "finished")["attempts"] == 1
        assert system.wait_for(system.submit("fault-fail-times", times=1), "finished")["attempts"] == 2
        assert system.wait_for(system.submit("fault-crash", {"retries": 0}), "failed")["attempts"] == 1
        started = system.http.post("/workflows/document-report", json={"text": "# A\n\nA few words on Paris."}).json()

        def finished():
            return system.http.get(f"/workflows/{started['id']}").json()["status"] == "finished"

        wait_until(finished, "the workflow ends")
        assert "from-the-image" not in "".join(path.read_text() for path in (tmp_path / "log").iterdir())
    finally:
        system.close()
