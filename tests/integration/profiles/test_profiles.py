"""Profiles as a client asks for them and reads them, with real workers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.integration.profiles.conftest import MODULE, line_of
from tests.integration.system import wait_until

FILE = f"{MODULE}.py"
EXPECTED = {
    ("slow-sync", "cprofile"): "linger",
    ("slow-sync", "line"): f"linger ({FILE}:{line_of('planted: slow')})",
    ("slow-sync", "sample"): f"linger ({FILE}:{line_of('planted: slow')})",
    ("slow-sync", "memory"): f"hoard ({FILE}:{line_of('planted: large')})",
    ("slow-async", "sample"): f"slow_async ({FILE}:{line_of('planted: waits')})",
    ("slow-async", "memory"): f"hoard ({FILE}:{line_of('planted: large')})",
    ("compute-async", "cprofile"): "compute",
    ("compute-async", "line"): f"compute ({FILE}:{line_of('planted: computes')})",
}


def test_each_kind_names_the_planted_line_and_draws_it(profiled):
    for (agent, kind), top in EXPECTED.items():
        task, profile = profiled.run(agent, kind)

        assert task["status"] == "finished"
        assert profile["top"].startswith(top), (agent, kind, profile["rows"][:3])
        assert (profile["kind"], profile["agent"], profile["task_id"]) == (kind, agent, task["id"])
        assert profiled.system.task(task)["profile_ids"] == [profile["id"]]
        svg = profiled.system.http.get(profile["links"]["flamegraph"])
        assert svg.headers["content-type"] == "image/svg+xml"
        titles = [title.text for title in ET.fromstring(svg.text).iter("{http://www.w3.org/2000/svg}title")]
        place = re.search(r"\(([^()]+:\d+)\)", profile["top"])[1]
        assert any(place in title for title in titles)
        speedscope = profiled.system.http.get(profile["links"]["speedscope"]).json()
        assert any(frame.get("file") == FILE for frame in speedscope["shared"]["frames"])


def test_the_table_has_what_its_kind_measures_and_the_source(profiled):
    _, lines = profiled.run("slow-sync", "line")
    row = lines["rows"][0]
    assert row["source"] == "time.sleep(0.3)  # planted: slow"
    assert (row["calls"], row["bytes"]) == (1, None)
    assert 0.2 < row["self_seconds"] <= row["total_seconds"] < 3

    _, memory = profiled.run("slow-sync", "memory")
    row = memory["rows"][0]
    assert row["bytes"] >= 20_000_000
    assert (row["self_seconds"], row["total_seconds"]) == (None, None)


def test_the_profile_is_found_from_the_trace_and_from_the_log(profiled):
    task, profile = profiled.run("slow-sync", "sample")

    def span():
        spans = profiled.system.traces.trace(task["trace_id"])
        return next((s for s in spans if s["name"] == "invoke_agent slow-sync"), None)

    attributes = wait_until(span, "the span has arrived")["attributes"]
    assert (attributes["profile.id"], attributes["profile.kind"]) == (profile["id"], "sample")
    line = next(line for line in profiled.system.log_lines() if line["message"] == "profile taken")
    assert line["labels"]["profile_id"] == profile["id"]
    assert line["task"]["id"] == task["id"]


@pytest.mark.parametrize("agent", ["slow-sync", "slow-async"])
def test_a_run_that_fails_keeps_its_profile(profiled, agent):
    task, profile = profiled.run(agent, "sample", mode="fail")

    assert task["status"] == "failed"
    assert task["error"]["type"] == "LookupError"
    assert profile["top"].startswith(("linger", "slow_async"))


@pytest.mark.parametrize(("agent", "mark"), [("endless-sync", "endless"), ("endless-async", "endless async")])
def test_a_run_that_is_timed_out_keeps_its_profile(profiled, agent, mark):
    task, profile = profiled.run(agent, "sample", timeout_seconds=1)

    assert task["error"]["type"] == "TaskTimeoutError"
    assert profile["top"].endswith(f"({FILE}:{line_of(f'planted: {mark}')})")


def test_a_run_that_dies_with_its_process_leaves_no_profile_and_the_worker_goes_on(profiled):
    task = profiled.system.submit("slow-sync", {"profile": "line", "retries": 0}, mode="crash")

    assert profiled.system.wait_for(task, "failed")["error"]["type"] == "WorkerChildDied"
    assert profiled.find(task_id=task["id"]) == []
    _, profile = profiled.run("slow-sync", "line")
    assert profile["top"].startswith("linger")


def test_a_run_that_must_be_killed_leaves_no_profile(profiled):
    task = profiled.system.submit("fault-busy-loop", {"profile": "sample", "timeout_seconds": 1}, seconds=60)

    assert profiled.system.wait_for(task, "failed")["error"]["type"] == "TaskTimeoutError"
    assert profiled.find(task_id=task["id"]) == []
    profiled.system.wait_for(profiled.system.submit("quick"), "finished")


def test_every_attempt_of_a_task_is_profiled(profiled):
    task = profiled.system.submit("fault-fail-times", {"profile": "cprofile", "retries": 2}, times=2)

    assert profiled.system.wait_for(task, "finished")["attempts"] == 3
    profiles = profiled.wait_for_profiles(3, task_id=task["id"])
    wait_until(lambda: len(profiled.system.task(task)["profile_ids"]) == 3, "all are linked")
    assert profiled.system.task(task)["profile_ids"] == [profile["id"] for profile in reversed(profiles)]


def test_a_task_that_asks_for_nothing_is_not_profiled(profiled):
    task = profiled.system.wait_for(profiled.system.submit("quick"), "finished")

    assert task["profile_ids"] == []
    assert profiled.find() == []


def test_of_an_agents_tasks_exactly_as_many_are_profiled_as_were_asked_for_over_two_workers(make_profiled):
    profiled = make_profiled(workers=2)
    asked = profiled.system.http.post("/agents/quick/profile", json={"kind": "cprofile", "tasks": 7})
    assert (asked.status_code, asked.json()) == (202, {"kind": "cprofile", "tasks": 7, "agent": "quick"})

    tasks = [profiled.system.submit("quick") for _ in range(40)]
    for task in tasks:
        profiled.system.wait_for(task, "finished")
    profiled.wait_for_profiles(7, agent="quick")

    again = [profiled.system.submit("quick") for _ in range(10)]
    for task in again:
        profiled.system.wait_for(task, "finished")
    profiles = profiled.find(agent="quick")
    assert len(profiles) == 7
    assert len({profile["task_id"] for profile in profiles}) == 7


def test_a_worker_that_starts_later_knows_which_agents_are_to_be_profiled(make_profiled):
    profiled = make_profiled(workers=0)
    assert profiled.system.http.post("/agents/quick/profile", json={"kind": "line", "tasks": 2}).status_code == 202
    task = profiled.system.submit("quick")
    profiled.system.start_worker()

    profiled.system.wait_for(task, "finished")

    assert profiled.wait_for_profiles(1, task_id=task["id"])[0]["kind"] == "line"


def test_many_async_tasks_at_once_are_each_sampled_by_themselves(profiled):
    tasks = [profiled.system.submit("slow-async", {"profile": "sample"}) for _ in range(6)]
    busy = [profiled.system.submit("compute-async") for _ in range(6)]

    for task in [*tasks, *busy]:
        profiled.system.wait_for(task, "finished")
    for task in tasks:
        profile = profiled.wait_for_profiles(1, task_id=task["id"])[0]
        assert profile["top"] == EXPECTED["slow-async", "sample"]
        assert not [row for row in profiled.get(profile["id"])["rows"] if row["function"] == "compute"]


def test_a_task_beside_an_exclusive_profile_runs_without_one_and_its_log_says_so(profiled):
    tasks = [profiled.system.submit("slow-async", {"profile": "line"}) for _ in range(2)]

    for task in tasks:
        assert profiled.system.wait_for(task, "finished")["status"] == "finished"
    profiled.wait_for_profiles(1, agent="slow-async")
    refused = [line for line in profiled.system.log_lines() if "not profiled" in line["message"]]
    assert len(refused) + len(profiled.find(agent="slow-async")) == 2


@pytest.mark.parametrize(("kind", "top"), [("sample", "planted: slow"), ("memory", "planted: large")])
def test_a_worker_is_profiled_for_a_while_whatever_it_runs(profiled, kind, top):
    worker = profiled.system.worker_records()[0]["name"]
    response = profiled.system.http.post(f"/workers/{worker}/profile", json={"kind": kind, "seconds": 2})
    assert response.status_code == 202
    asked = response.json()
    tasks = [profiled.system.submit("slow-sync") for _ in range(4)]
    for task in tasks:
        profiled.system.wait_for(task, "finished")

    profiles = profiled.wait_for_profiles(1, worker=worker)

    profile = profiled.get(asked["profile_id"])
    assert [found["id"] for found in profiles] == [asked["profile_id"]]
    assert profile["top"].endswith(f"({FILE}:{line_of(top)})")
    assert (profile["agent"], profile["task_id"], profile["worker"]) == (None, None, worker)
    assert 2 <= profile["seconds"] < 4


def test_a_worker_that_shuts_down_keeps_the_profile_that_it_is_taking(profiled):
    worker = profiled.system.worker_records()[0]["name"]
    asked = profiled.system.http.post(f"/workers/{worker}/profile", json={"seconds": 300}).json()
    profiled.system.wait_for(profiled.system.submit("slow-sync"), "finished")

    assert profiled.system.stop(profiled.system.workers[0]) == 0

    assert profiled.get(asked["profile_id"])["seconds"] < 60


def test_the_oldest_profiles_of_an_agent_go(make_profiled, redis_client):
    profiled = make_profiled(PROFILES_PER_AGENT="2", PROFILE_DAYS="3")
    ids = [profiled.run("quick", "cprofile")[1]["id"] for _ in range(4)]
    profiled.run("slow-sync", "cprofile")

    assert [profile["id"] for profile in profiled.find(agent="quick")] == [ids[3], ids[2]]
    gone = profiled.system.http.get(f"/profiles/{ids[0]}")
    assert (gone.status_code, gone.json()["type"]) == (404, "/problems/profile-not-found")
    assert 0 < redis_client.ttl(f"agents:profile:{ids[3]}") <= 3 * 24 * 3600


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "told"),
    [
        ("/tasks", {"agent": "quick", "options": {"profile": "magic"}}, 422, "invalid-request", "#/options/profile"),
        ("/agents/quick/profile", {"kind": "magic"}, 422, "invalid-request", "#/kind"),
        ("/agents/quick/profile", {"kind": "line", "tasks": 0}, 422, "invalid-request", "#/tasks"),
        ("/agents/quick/profile", {"kind": "line", "tasks": 101}, 422, "invalid-request", "#/tasks"),
        ("/agents/nobody/profile", {"kind": "line"}, 404, "agent-not-found", None),
        ("/workers/nobody/profile", {"seconds": 5}, 404, "worker-not-found", None),
        ("/workers/nobody/profile", {"seconds": 0}, 422, "invalid-request", "#/seconds"),
        ("/workers/nobody/profile", {"seconds": 301}, 422, "invalid-request", "#/seconds"),
        ("/workers/nobody/profile", {"kind": "line"}, 422, "invalid-request", "#/kind"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_its_reason(make_profiled, path, body, status, kind, told):
    response = make_profiled(workers=0).system.http.post(path, json=body)

    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, f"/problems/{kind}")
    assert [error["pointer"] for error in problem.get("errors", [])] == ([told] if told else [])


def test_the_command_line_names_the_hottest_line_with_its_source(profiled):
    submitted = profiled.command("submit", "slow-sync", "--profile", "line")
    assert submitted.returncode == 0, submitted.stderr

    shown = profiled.command("profile", "task", submitted.stdout.strip())

    assert shown.returncode == 0, shown.stderr
    assert f"{FILE}:{line_of('planted: slow')}" in shown.stdout
    assert "time.sleep(0.3)  # planted: slow" in shown.stdout


def test_the_command_line_waits_for_the_profiles_of_an_agent(profiled):
    waiting = profiled.start("profile", "agent", "slow-sync", "--kind", "sample", "--tasks", "2", "--wait")
    assert "waiting for 2 tasks" in waiting.stderr.readline()
    for _ in range(3):
        profiled.system.submit("slow-sync")
    shown, _ = waiting.communicate(timeout=60)

    assert waiting.returncode == 0
    assert shown.count("time.sleep(0.3)  # planted: slow") >= 2
    listed = profiled.command("profile", "list", "--agent", "slow-sync")
    assert f"({FILE}:{line_of('planted: slow')})" in "".join(listed.stdout.split())
    assert profiled.command("profile", "agent", "nobody").returncode == 1


def test_the_command_line_profiles_a_worker_and_exports_what_it_saw(profiled, tmp_path):
    worker = profiled.system.worker_records()[0]["name"]
    for _ in range(6):
        profiled.system.submit("slow-sync")

    shown = profiled.command("profile", "worker", worker, "--seconds", "1")

    assert shown.returncode == 0, shown.stderr
    assert "time.sleep(0.3)  # planted: slow" in shown.stdout
    profile_id = profiled.find(worker=worker)[0]["id"]
    exported = Path(tmp_path / "flames.svg")
    assert profiled.command("profile", "export", profile_id, str(exported)).returncode == 0
    assert exported.read_text().startswith("<svg")
    wrong = profiled.command("profile", "export", profile_id, str(tmp_path / "flames.gif"))
    assert wrong.returncode == 2
    assert ".svg or .json" in wrong.stderr


def test_a_stock_rq_worker_profiles_a_task_that_asks_for_it(make_profiled):
    profiled = make_profiled(workers=0)
    task = profiled.system.submit("slow-sync", {"profile": "line"}, mode="")
    done = subprocess.run(
        [sys.executable, "-m", "rq.cli", "worker", "--burst", "--serializer", "rq.serializers.JSONSerializer"],
        env={**profiled.system.environment, "RQ_REDIS_URL": profiled.system.environment["REDIS_URL"]},
        cwd=profiled.system.folder,
        capture_output=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert profiled.system.task(task)["status"] == "finished"
    assert profiled.wait_for_profiles(1, task_id=task["id"])[0]["top"].startswith("linger")
