"""What a real Prometheus makes of the metrics: escalation, and the impact in the report."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import httpx
import pytest
import yaml

from tests.integration.incidents.conftest import FROM_ALERTMANAGER, TOKEN_DIGEST
from tests.integration.system import free_port, wait_until
from tests.unit.incidents.alerts import alert, payload

ROOT = Path(__file__).parents[3]
POLICY = """
[[policy]]
severity = "critical"
team = "agents"
steps = [{after_minutes = 0.01, receiver = "on-call"}, {after_minutes = 600, receiver = "backup"}]
"""


def image():
    found = re.search(r"image: \$\{PROMETHEUS_IMAGE:-(\S+)\}", (ROOT / "docker-compose.yml").read_text())
    assert found, "docker-compose.yml names no PROMETHEUS_IMAGE"
    return found[1]


def documented_rule():
    """Return the escalation rule of docs/incident-response.md."""
    text = (ROOT / "docs" / "incident-response.md").read_text()
    found = re.search(r"```yaml\n(- alert: .*?)```", text, re.DOTALL)
    assert found
    (rule,) = yaml.safe_load(found[1])
    return rule


class Prometheus:
    """A Prometheus from its image that scrapes a service on this machine."""

    def __init__(self, folder):
        self._folder = folder
        self._port = free_port()
        self._container = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self, metrics_port):
        target = f"127.0.0.1:{metrics_port}"
        discovery = {"url": f"http://{target}/sd/workers", "refresh_interval": "1s"}
        configuration = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["/etc/prometheus/rules.yml"],
            "scrape_configs": [
                {"job_name": "api", "static_configs": [{"targets": [target]}]},
                {"job_name": "workers", "http_sd_configs": [discovery]},
            ],
        }
        rules = {"groups": [{"name": "incidents", "rules": [documented_rule()]}]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # testcontainers deprecates its own decorators while it is imported
            from testcontainers.core.container import DockerContainer
        options = f"--config.file=/etc/prometheus/prometheus.yml --web.listen-address=127.0.0.1:{self._port}"
        # On this machine's own network, since the service listens on its loopback address only.
        container = DockerContainer(image()).with_command(options).with_kwargs(network_mode="host")
        for name, content in (("prometheus.yml", configuration), ("rules.yml", rules)):
            file = self._folder / name
            file.write_text(yaml.safe_dump(content))
            container.with_volume_mapping(str(file), f"/etc/prometheus/{name}")
        self._container = container.start()

    def ask(self, path, **query):
        try:
            answer = httpx.get(f"{self.url}/api/v1/{path}", params=query)
        except httpx.TransportError:
            return None
        return answer.json()["data"] if answer.status_code == 200 else None

    def value(self, query):
        answer = self.ask("query", query=query)
        return float(answer["result"][0]["value"][1]) if answer and answer["result"] else None

    def firing(self):
        alerts = self.ask("alerts")["alerts"]
        return [entry["labels"] for entry in alerts if entry["state"] == "firing"]

    def stop(self):
        if self._container:
            self._container.stop()


@pytest.fixture
def prometheus(tmp_path_factory):
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    try:
        client.images.get(image())
    except docker.errors.ImageNotFound:
        pytest.skip(f"the engine has no {image()}")
    finally:
        client.close()
    folder = tmp_path_factory.mktemp("prometheus")
    for part in (folder, *folder.parents[:2]):
        part.chmod(0o755)  # the program in the container is another user
    server = Prometheus(folder)
    yield server
    server.stop()


def test_prometheus_escalates_an_incident_and_tells_its_impact(make_system, prometheus, tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    system = make_system(ALERTS_TOKEN_SHA256=TOKEN_DIGEST, ESCALATION_POLICY=str(policy), PROMETHEUS_URL=prometheus.url)
    system.start_api()
    system.start_worker()
    prometheus.start(system.metrics_port)
    wait_until(lambda: prometheus.value("count(up == 1)") == 2, "both are scraped")
    assert prometheus.value('incidents_open{severity="critical",team="agents"}') == 0
    assert prometheus.firing() == []

    opened = system.http.post("/alerts", json=payload(alert()), headers=FROM_ALERTMANAGER).raise_for_status()
    path = f"/incidents/{opened.json()['effects'][0]['incident_id']}"
    for _ in range(3):
        system.wait_for(system.submit("fault-fail", {"retries": 0}, message="no"), "failed")
    system.wait_for(system.submit("fault-sleep", seconds=0), "finished")

    # Nobody acknowledges it: the first step is due, the second is not.
    (labels,) = wait_until(prometheus.firing, "the step is due")
    assert labels.items() >= {
        "severity": "critical", "team": "agents", "escalation": "1", "receiver": "on-call",
    }.items()  # fmt: skip
    told = payload({**alert("e"), "labels": labels}, group="escalation")
    told = system.http.post("/alerts", json=told, headers=FROM_ALERTMANAGER).raise_for_status().json()
    assert [effect["outcome"] for effect in told["effects"]] == ["escalated"]
    system.http.post(f"{path}/steps", json={"step": "acknowledged", "by": "ada"}).raise_for_status()
    wait_until(lambda: prometheus.firing() == [], "the acknowledgement ends the escalation")
    assert prometheus.value("incident_time_to_acknowledge_seconds_count") is not None

    wait_until(lambda: prometheus.value('sum(agent_tasks_total{outcome="failure"})') == 3, "the failures are scraped")
    wait_until(lambda: prometheus.value('sum(agent_tasks_total{outcome="success"})') == 1, "the success is scraped")
    report = system.http.get(f"{path}/review").raise_for_status().text
    assert "Tasks failed: 3 of 4 that ended (75.0%)" in report
    assert "| fault-fail | failure | 3 |" in report
    assert re.search(r"95 % of those that started had waited at most [\d.]+ ", report)
    assert "Alerts that fired: IncidentUnacknowledged (critical)." in report
    assert "step 1: on-call" in report


def test_every_incident_metric_of_the_contract_is_shown_from_the_start(make_system):
    system = make_system()
    system.start_api()
    page = httpx.get(f"http://127.0.0.1:{system.metrics_port}/metrics").text
    for sample in (
        'incidents_open{severity="critical",team="agents"} 0.0',
        'incident_unacknowledged_seconds{severity="warning",team="platform"} 0.0',
        'incident_escalation_after_seconds{escalation="1",receiver="on-call",severity="critical",team="agents"} 300.0',
        'incidents_opened_total{severity="critical",team="agents"} 0.0',
        'incident_time_to_acknowledge_seconds_count{severity="critical",team="agents"} 0.0',
        'incident_time_to_resolve_seconds_count{severity="critical",team="agents"} 0.0',
    ):
        name, _, labels = sample.partition("{")
        pairs = set(re.findall(r'\w+="[^"]+"', labels))
        number = sample.rpartition(" ")[2]
        lines = [line for line in page.splitlines() if line.startswith(f"{name}{{") and line.endswith(f" {number}")]
        assert any(pairs == set(re.findall(r'\w+="[^"]+"', line)) for line in lines), sample
