from __future__ import annotations

from pathlib import Path

import pytest

from agent_service.embedded.addresses import api_url
from agent_service.embedded.plans import plan_system
from agent_service.embedded.tools import Toolbox
from agent_service.embedded.valkey import prepare_valkey
from agent_service.settings import Settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_each_queue_gets_its_workers(tmp_path: Path):
    settings = Settings(var_dir=tmp_path, worker_queues=("default", "slow"), worker_replicas=2)

    plan = plan_system(settings, "redis://somewhere", None, Toolbox(), lock=3)

    assert [worker.name for worker in plan.workers] == [
        "worker-default-1",
        "worker-default-2",
        "worker-slow-1",
        "worker-slow-2",
    ]
    assert plan.workers[2].command[-2:] == ["--queue", "slow"]


def test_the_parts_learn_where_the_queue_is_but_not_the_api_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("API_KEY", "as_secret")
    monkeypatch.setenv("WORKER_METRICS_PORT", "9500")
    valkey = prepare_valkey(tmp_path / "valkey", 7000)

    plan = plan_system(Settings(var_dir=tmp_path), valkey.url, valkey, Toolbox(), lock=3)

    for part in (plan.api, *plan.workers):
        assert part.environment["REDIS_URL"] == valkey.url
        assert part.environment["API_KEY"] == ""
        assert part.environment["LOG_DIR"] == str(tmp_path / "log")
        # Several workers on one machine cannot share a port.
        assert part.environment["WORKER_METRICS_PORT"] == "0"


def test_only_a_server_that_is_brought_along_holds_the_lock(tmp_path: Path):
    valkey = prepare_valkey(tmp_path / "valkey", 7000)

    with_server = plan_system(Settings(var_dir=tmp_path), valkey.url, valkey, Toolbox(), lock=3)
    without = plan_system(Settings(var_dir=tmp_path), "redis://somewhere", None, Toolbox(), lock=3)

    assert with_server.valkey is not None
    assert with_server.valkey.pass_fds == (3,)
    assert all(part.pass_fds == () for part in without.all)


def test_clients_find_the_api_where_it_listens_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("API_PORT", "8100")
    monkeypatch.setenv("API_HOST", "0.0.0.0")
    assert api_url(Settings()) == "http://127.0.0.1:8100"

    monkeypatch.setenv("API_URL", "https://agents.example.org/")
    assert api_url(Settings()) == "https://agents.example.org"
