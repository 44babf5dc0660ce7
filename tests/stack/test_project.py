"""What holds for every container, whatever runs in it."""

from __future__ import annotations

import subprocess

import pytest

from stack.env_file import PASSWORDS
from tests.stack.conftest import Work
from tests.stack.project import Project

ONE_SHOTS = {"elasticsearch-setup", "kibana-setup"}
MEMORY_LIMIT = 4.5 * 2**30
IMAGE_LIMIT = 200 * 10**6
WRITABLE = {"elasticsearch", "logstash"}


def test_everything_runs_and_is_healthy(project: Project) -> None:
    states = {container["Service"]: (container["State"], container["Health"]) for container in project.containers()}

    assert {service for service, state in states.items() if state == ("running", "healthy")} == {
        service for service in states if service not in ONE_SHOTS
    }
    assert {states[service][0] for service in ONE_SHOTS} == {"exited"}


def test_up_may_be_called_again(project: Project) -> None:
    before = {container["ID"] for container in project.containers()}

    project.up()

    assert {container["ID"] for container in project.containers()} == before
    assert {c["ExitCode"] for c in project.containers() if c["Service"] in ONE_SHOTS} == {0}


def test_ports_are_open_on_this_machine_only(project: Project) -> None:
    addresses = {
        binding["HostIp"]
        for _, inspection in project.inspections()
        for bindings in (inspection["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    }

    assert addresses == {"127.0.0.1"}


def test_no_password_shows_in_an_inspection(project: Project, work: Work) -> None:
    shown = {service: str(inspection) for service, inspection in project.inspections()}

    leaks = [(service, name) for service, text in shown.items() for name in PASSWORDS if project.values[name] in text]

    assert leaks == []


def test_no_password_shows_in_the_logs(project: Project, work: Work) -> None:
    logs = project.compose("logs", "--no-color").stdout

    assert [name for name in PASSWORDS if project.values[name] in logs] == []


def test_a_secret_is_given_only_to_those_that_need_it(project: Project) -> None:
    needs = {
        service: {mount["Destination"].removeprefix("/run/secrets/") for mount in inspection["Mounts"]}
        for service, inspection in project.inspections()
    }
    holders = {
        secret: {service for service, secrets in needs.items() if secret in secrets}
        for secret in ("elastic_password", "redis_url", "valkey_password", "grafana_admin_password", "jaeger_password")
    }

    assert holders == {
        "elastic_password": {"elasticsearch", *ONE_SHOTS},
        "redis_url": {"api", "worker"},
        "valkey_password": {"valkey"},
        "grafana_admin_password": {"grafana"},
        "jaeger_password": {"jaeger", "janitor", "elasticsearch-setup"},
    }


def test_every_container_is_confined(project: Project) -> None:
    for service, inspection in project.inspections():
        host = inspection["HostConfig"]
        assert not host["Privileged"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert host["Memory"] > 0, service
        assert host["NanoCpus"] > 0, service
        assert host["LogConfig"]["Config"]["max-size"], service
        assert host["RestartPolicy"]["Name"] == ("no" if service in ONE_SHOTS else "unless-stopped"), service
        assert host["ReadonlyRootfs"] == (service not in WRITABLE), service


def test_nobody_is_root(project: Project) -> None:
    for service in {container["Service"] for container in project.containers()} - ONE_SHOTS:
        if not project.is_placeholder(service):  # it runs as whoever it was made with
            assert project.execute(service, "id", "-u").stdout.strip() != "0", service


def test_the_limits_fit_into_a_small_machine(project: Project) -> None:
    services = project.configuration["services"].values()
    deploys = [service["deploy"] for service in services]

    total = sum(int(d["resources"]["limits"]["memory"]) * int(d.get("replicas") or 1) for d in deploys)

    assert total <= MEMORY_LIMIT


def test_every_image_has_a_full_tag(project: Project) -> None:
    images = {service["image"] for service in project.configuration["services"].values()}

    assert [image for image in images if ":" not in image or image.endswith(":latest")] == []


def test_the_services_image_is_small_and_builds_nothing(project: Project) -> None:
    image = project.configuration["services"]["api"]["image"]

    assert _size(image) - _size("python:3.13-slim") <= IMAGE_LIMIT
    tools = project.execute("api", "sh", "-c", "command -v gcc cc make uv pip hatchling", check=False)
    assert tools.stdout == ""


@pytest.mark.parametrize(
    ("service", "forbidden"),
    [
        ("worker", "elasticsearch:9200"),
        ("api", "kibana:5601"),
        ("logstash", "valkey:6379"),
        ("prometheus", "valkey:6379"),
        ("grafana", "valkey:6379"),
    ],
)
def test_a_service_cannot_reach_what_it_does_not_need(project: Project, service: str, forbidden: str) -> None:
    networks = {
        name: set(inspection["NetworkSettings"]["Networks"])
        for name, inspection in project.inspections()
        if name in {service, forbidden.partition(":")[0]}
    }

    assert not set.intersection(*networks.values())


def _size(image: str) -> int:
    shown = subprocess.run(["docker", "image", "inspect", "-f", "{{.Size}}", image], capture_output=True, check=True)
    return int(shown.stdout)
