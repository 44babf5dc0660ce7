"""Grafana and Kibana: provisioned from files, and their sources answer."""

from __future__ import annotations

import json

import pytest

from tests.stack.conftest import Work
from tests.stack.project import REPOSITORY, Project, basic


@pytest.mark.parametrize("uid", ["prometheus", "jaeger", "elasticsearch", "alertmanager"])
def test_a_source_of_grafana_answers(project: Project, work: Work, uid: str) -> None:
    project.require_real("grafana")
    headers = basic("admin", project.values["GRAFANA_ADMIN_PASSWORD"])

    found = project.http.get(f"{project.url('grafana')}/api/datasources/uid/{uid}", headers=headers)

    assert found.status_code == 200
    if uid != "alertmanager":  # it has no check of its own
        health = project.http.get(f"{project.url('grafana')}/api/datasources/uid/{uid}/health", headers=headers)
        assert health.json()["status"] == "OK", health.text


@pytest.mark.parametrize("file", sorted((REPOSITORY / "grafana" / "dashboards").glob("*.json")), ids=lambda f: f.stem)
def test_a_dashboard_is_in_grafana(project: Project, file: object) -> None:
    project.require_real("grafana")
    uid = json.loads(file.read_text())["uid"]  # type: ignore[attr-defined]
    headers = basic("admin", project.values["GRAFANA_ADMIN_PASSWORD"])

    assert project.http.get(f"{project.url('grafana')}/api/dashboards/uid/{uid}", headers=headers).status_code == 200


@pytest.mark.parametrize("view", ["logs-agents", "logs-agents.rejected"])
def test_a_data_view_is_in_kibana(project: Project, view: str) -> None:
    project.require_real("kibana")
    headers = basic("elastic", project.values["ELASTIC_PASSWORD"])

    found = project.http.get(f"{project.url('kibana')}/api/data_views/data_view/{view}", headers=headers)

    assert found.status_code == 200
