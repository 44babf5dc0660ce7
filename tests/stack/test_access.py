"""Who may do what: a wrong password opens nothing, and a right one only what its user needs."""

from __future__ import annotations

import pytest

from agent_service.telemetry.contract import LOG_DATA_STREAM
from tests.stack.conftest import Work
from tests.stack.project import Project, basic

USERS = ["elastic", "kibana_system", "logstash_writer", "grafana_reader", "jaeger", "metrics_reader"]
DOCUMENT = {"@timestamp": "2026-01-01T00:00:00.000Z", "message": "from somebody"}


@pytest.mark.parametrize("user", USERS)
def test_a_right_password_is_taken(project: Project, user: str) -> None:
    assert project.elastic("GET", "/_security/_authenticate", user=user).json()["username"] == user


@pytest.mark.parametrize("user", USERS)
def test_a_wrong_password_is_refused(project: Project, user: str) -> None:
    url = f"{project.url('elasticsearch')}/_security/_authenticate"

    assert project.http.get(url, headers=basic(user, "wrong-password")).status_code == 401


@pytest.mark.parametrize("path", ["/", "/_cat/indices", f"/{LOG_DATA_STREAM}/_search"])
def test_elasticsearch_asks_for_a_password(project: Project, path: str) -> None:
    assert project.http.get(project.url("elasticsearch") + path).status_code == 401


@pytest.mark.parametrize(
    ("user", "method", "path", "body"),
    [
        ("grafana_reader", "POST", f"/{LOG_DATA_STREAM}/_doc", DOCUMENT),
        ("grafana_reader", "DELETE", f"/_data_stream/{LOG_DATA_STREAM}", None),
        ("grafana_reader", "GET", "/jaeger-span-2020-01-01/_search", None),
        ("grafana_reader", "PUT", "/_security/user/grafana_reader", {"password": "x" * 12, "roles": ["superuser"]}),
        ("logstash_writer", "GET", f"/{LOG_DATA_STREAM}/_search", None),
        ("logstash_writer", "DELETE", f"/_data_stream/{LOG_DATA_STREAM}", None),
        ("logstash_writer", "POST", "/jaeger-span-2020-01-01/_doc?op_type=create", DOCUMENT),
        ("logstash_writer", "POST", "/logs-other-default/_doc", DOCUMENT),
        ("logstash_writer", "PUT", "/_index_template/logs-agents", {"index_patterns": ["logs-agents-*"]}),
        ("jaeger", "GET", f"/{LOG_DATA_STREAM}/_search", None),
        ("jaeger", "POST", f"/{LOG_DATA_STREAM}/_doc", DOCUMENT),
        ("metrics_reader", "GET", f"/{LOG_DATA_STREAM}/_search", None),
    ],
)
def test_a_user_may_not_do_what_is_not_its_work(
    project: Project, work: Work, user: str, method: str, path: str, body: object
) -> None:
    answer = project.elastic(method, path, user=user, body=body)

    assert answer.status_code == 403, answer.text


@pytest.mark.parametrize(
    ("user", "path"),
    [
        ("grafana_reader", f"/{LOG_DATA_STREAM}/_search"),
        ("grafana_reader", "/"),
        ("logstash_writer", "/"),
        ("logstash_writer", "/_license"),
        ("metrics_reader", "/_nodes/stats"),
        ("metrics_reader", "/_all/_stats"),
        ("jaeger", "/jaeger-*/_search"),
    ],
)
def test_a_user_may_do_its_work(project: Project, work: Work, user: str, path: str) -> None:
    answer = project.elastic("GET", path, user=user)

    assert answer.status_code == 200, answer.text


def test_a_writer_cannot_change_a_line(project: Project) -> None:
    path = f"/{LOG_DATA_STREAM}/_create/written-once"
    project.elastic("PUT", path, user="logstash_writer", body=DOCUMENT)

    assert project.elastic("PUT", path, user="logstash_writer", body=DOCUMENT).status_code == 409
    line = f"/{next(iter(project.elastic('GET', f'/{LOG_DATA_STREAM}').json()))}/_doc/written-once"
    change = f"{line}?if_seq_no=0&if_primary_term=1"
    assert project.elastic("PUT", change, user="logstash_writer", body=DOCUMENT).status_code == 403
    assert project.elastic("DELETE", line, user="logstash_writer").status_code == 403


def test_the_queue_asks_for_its_password(project: Project) -> None:
    without = project.execute("valkey", "valkey-cli", "ping", check=False)
    wrong = project.execute("valkey", "valkey-cli", "--no-auth-warning", "-a", "wrong-password", "ping", check=False)

    assert "NOAUTH" in without.stdout + without.stderr
    assert "PONG" not in wrong.stdout


@pytest.mark.parametrize("headers", [{"X-API-Key": "wrong"}, {"X-API-Key": ""}])
def test_the_api_asks_for_a_key(project: Project, headers: dict[str, str]) -> None:
    answer = project.http.post(f"{project.url('api')}/tasks", headers=headers, json={"agent": "planner", "input": {}})

    assert answer.status_code == 401


def test_grafana_asks_for_a_password(project: Project) -> None:
    project.require_real("grafana")
    url = f"{project.url('grafana')}/api/datasources"
    right = basic("admin", project.values["GRAFANA_ADMIN_PASSWORD"])

    assert project.http.get(url).status_code == 401
    assert project.http.get(url, headers=basic("admin", "wrong-password")).status_code == 401
    assert project.http.get(url, headers=right).status_code == 200


def test_kibana_asks_for_a_password(project: Project) -> None:
    project.require_real("kibana")
    url = f"{project.url('kibana')}/api/data_views"
    right = basic("elastic", project.values["ELASTIC_PASSWORD"])

    assert project.http.get(url, headers=basic("elastic", "wrong-password")).status_code == 401
    assert project.http.get(url, headers=right).status_code == 200
