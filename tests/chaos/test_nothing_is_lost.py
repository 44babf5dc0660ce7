"""While tasks flow, something dies or falls silent; afterwards every acknowledged task is accounted for.

Eleven thousand tasks in all. A table at the end says what became of them, case by case.
"""

from __future__ import annotations

import time

import pytest

from tests.chaos.conftest import Valkey
from tests.chaos.link import Cut, Link
from tests.chaos.scene import Scene
from tests.integration.system import wait_until

pytestmark = pytest.mark.timeout(400)

ABANDON_SECONDS = 15
"""A worker that is silent for so long is taken for dead: RQ gives its tasks to others, or fails them."""


def test_valkey_is_killed_and_comes_back(make_scene, valkey):
    scene: Scene = make_scene("Valkey killed, every write synced")
    scene.start(1500)
    scene.wait_for(0.4)
    valkey.kill()
    valkey.start()
    # With every write synced nothing that was acknowledged is gone, and what ran is written down afterwards.
    scene.check_signals(scene.check())


@pytest.mark.parametrize("valkey", ["everysec"], indirect=True)
def test_with_fsync_every_second_a_killed_valkey_keeps_what_it_was_told(make_scene, valkey):
    """A killed process loses nothing that it wrote: only a dead machine takes the last second with it."""
    scene: Scene = make_scene("Valkey killed, synced every second")
    scene.start(1000)
    scene.wait_for(0.4)
    valkey.kill()
    valkey.start()
    scene.check_signals(scene.check())


def test_valkey_does_not_answer_for_a_while(make_scene, valkey):
    scene: Scene = make_scene("Valkey stopped for 3 s")
    scene.start(1000)
    scene.wait_for(0.4)
    valkey.pause(3)
    scene.check_signals(scene.check())


def test_children_are_killed(make_scene):
    scene: Scene = make_scene("a worker's child killed, 5 times", longest=0.06)
    scene.start(1500)
    for share in (0.1, 0.25, 0.4, 0.55, 0.7):
        scene.wait_for(share)
        scene.kill_child(scene.system.workers[0])
    account = scene.check()
    assert account.cut, "nothing ran at any of the kills; they prove nothing"
    scene.check_signals(account)


def test_a_whole_worker_is_killed(make_scene):
    scene: Scene = make_scene("a worker killed as a whole", longest=0.06)
    scene.start(1000)
    scene.wait_for(0.3)
    scene.kill_worker(scene.system.workers[0])
    scene.system.start_worker()
    account = scene.check()
    # The dead worker's counters died with it: what is left says at most what happened. The log files say all of it.
    counted = scene.counted()
    assert 0 < counted["success"] <= sum(task["status"] == "finished" for task in account.tasks.values())
    # Its tasks were settled, and counted, by those that live.
    assert counted["crash"] == sum(task["status"] == "failed" for task in account.tasks.values())
    assert counted["retry"] == sum(task["attempts"] - 1 for task in account.tasks.values())
    scene.check_log_lines(account)


def test_the_api_is_killed_and_started_again(make_scene):
    scene: Scene = make_scene("the API killed, twice")
    scene.start(1000)
    for share in (0.3, 0.6):
        scene.wait_for(share)
        assert scene.system.api is not None
        scene.system.api.kill()
        scene.system.api.wait(10)
        scene.system.start_api()
    scene.check_signals(scene.check())


def worker_behind(scene: Scene, valkey: Valkey) -> Link:
    """Start a worker that reaches Valkey over a link only."""
    link = Link(valkey.port)
    scene.system.start_worker(REDIS_URL=f"redis://127.0.0.1:{link.port}/0")
    return link


@pytest.mark.parametrize("how", list(Cut), ids=lambda how: how.name.lower())
def test_a_worker_is_cut_off_for_a_moment(make_scene, valkey, how):
    """Shorter than it takes to be given up: its tasks go on, and their ends are written down afterwards."""
    scene: Scene = make_scene(f"a worker cut off for 4 s ({how.name.lower()})")
    scene.start(400, workers=1)
    link = worker_behind(scene, valkey)
    scene.wait_for(0.3)
    link.cut(how)
    time.sleep(4)  # the length of the fault, not a wait for something
    link.heal()
    scene.check_signals(scene.check())
    link.close()


def test_a_worker_is_cut_off_until_it_is_given_up(make_scene, valkey):
    """Its tasks are settled as a dead worker's are; what it writes when it is back is refused."""
    scene: Scene = make_scene("a worker cut off until it is given up")
    scene.start(800, workers=1)
    link = worker_behind(scene, valkey)
    scene.wait_for(0.3)
    link.cut(Cut.SILENT)
    scene.cut |= scene.books_of(scene.system.workers[1])
    time.sleep(ABANDON_SECONDS + 10)  # the length of the fault; tasks flow through the other worker meanwhile
    link.heal()
    account = scene.check()
    scene.check_log_lines(account)
    link.close()


def test_the_log_volume_is_full_for_a_while(make_scene, volume):
    scene: Scene = make_scene("the log volume full", LOG_DIR=str(volume.path))
    scene.start(1000)
    scene.wait_for(0.2)
    volume.fill()
    scene.wait_for(0.6)
    volume.free()
    account = scene.check()
    assert account.cut == set()
    assert any(b"No space left on device" in path.read_bytes() for path in scene.system.folder.glob("*.out"))
    told = sum(int(line["message"].split()[0]) for line in lost_lines(scene, volume))
    finished = [line for line in volume.log_lines() if line["message"] == "task finished"]
    missing = len(account.tasks) - len(finished)
    assert 0 < missing <= told
    assert len({line["task"]["id"] for line in finished}) == len(finished)


def lost_lines(scene: Scene, volume) -> list[dict]:
    return [line for line in volume.log_lines() if "log lines were lost" in line["message"]]


@pytest.mark.parametrize("how", [Cut.SILENT, Cut.REFUSED], ids=["hangs", "dead"])
def test_the_trace_endpoint_is_away_for_a_while(make_scene, how):
    """Traces of that while are lost there, and kept with the tasks; nothing else notices."""
    scene: Scene = make_scene(f"the OTLP endpoint {'hangs' if how is Cut.SILENT else 'dead'}")
    link = Link(int(scene.system.traces.endpoint.rpartition(":")[2]))
    scene.system.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{link.port}"
    scene.start(500)
    scene.wait_for(0.2)
    link.cut(how)
    scene.wait_for(0.5)
    assert scene.flow is not None
    during = scene.flow.acknowledged[round(0.4 * 500)]
    scene.wait_for(0.7)
    link.heal()
    scene.check_signals(scene.check())

    kept = {span["name"] for span in scene.system.http.get(f"/tasks/{during}/spans").raise_for_status().json()}
    assert {"send default", "process default"} <= kept
    after = scene.system.wait_for(scene.system.submit("fault-sleep", seconds=0), "finished")["trace_id"]
    whole = {"POST /tasks", "send default", "process default", "invoke_agent fault-sleep"}
    wait_until(lambda: whole <= {span["name"] for span in scene.system.traces.trace(after)}, "its trace arrives")
    link.close()
