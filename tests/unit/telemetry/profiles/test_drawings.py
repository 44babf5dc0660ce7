"""A profile as a drawing and as a file for another program."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

import pytest

from agent_service.telemetry.profiles import Measured, Place, Row, Unit, flame_graph, speedscope

SVG = "{http://www.w3.org/2000/svg}"
OUTER, SLOW, FAST = Place("outer", "mine.py", 3), Place("slow", "mine.py", 9), Place("fast", "lib/other.py", 1)


def measured(stacks=None, **changes):
    return Measured(
        unit=changes.pop("unit", Unit.SECONDS),
        stacks=stacks or {(OUTER, SLOW): 3.0, (OUTER, FAST): 1.0},
        rows=[Row(function="slow", file="mine.py", line=9, self_seconds=3.0, source="time.sleep(3)")],
        own_files=frozenset({"mine.py"}),
        **changes,
    )


def frames(svg):
    """Return title and width of each frame of a drawing."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        found[group.find(f"{SVG}title").text] = float(group.find(f"{SVG}rect").get("width"))
    return found


def test_each_frame_is_as_wide_as_its_share_and_says_what_it_is():
    drawn = frames(flame_graph(measured(), "a profile"))

    slow = next(title for title in drawn if title.startswith("slow"))
    assert slow == "slow  mine.py:9\n3 s, 75.0%\ntime.sleep(3)"
    assert drawn[slow] == pytest.approx(900, abs=1)
    assert drawn["outer  mine.py:3\n4 s, 100.0%"] == pytest.approx(1200, abs=1)


def test_frames_do_not_overlap():
    drawing = ET.fromstring(flame_graph(measured(), "a profile"))
    rows = {}
    for rect in [group.find(f"{SVG}rect") for group in drawing.iter(f"{SVG}g")]:
        rows.setdefault(rect.get("y"), []).append((float(rect.get("x")), float(rect.get("width"))))

    for row in rows.values():
        for (left, width), (following, _) in zip(sorted(row), sorted(row)[1:], strict=False):
            assert left + width <= following + 0.05


def test_nothing_in_the_drawing_runs_or_is_fetched():
    evil = Place('<script>alert("x")</script>', "a'b\".py", 1)
    svg = flame_graph(measured({(evil, Place("\x00\x1b&", "]]>", 2)): 1.0}), "</title><script>")

    root = ET.fromstring(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {"svg", "title", "rect", "text", "g"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on") or name in {"style", "href"}]
    assert not re.search(r"url\(|@import", svg)


def test_code_of_ones_own_has_another_colour():
    svg = flame_graph(measured(), "a profile")

    colours = {
        group.find(f"{SVG}title").text.split()[0]: group.find(f"{SVG}rect").get("fill")
        for group in ET.fromstring(svg).iter(f"{SVG}g")
    }
    assert colours["slow"].startswith(("#e", "#f"))
    assert colours["fast"].startswith(("#8", "#9", "#a", "#b"))


def test_a_drawing_of_nothing_is_still_one():
    svg = flame_graph(Measured(unit=Unit.BYTES, stacks={}, rows=[]), "nothing")

    assert frames(svg) == {}


def test_a_profile_of_many_stacks_is_drawn_within_bounds():
    stacks = {(OUTER, *(Place(f"f{number}", "m.py", depth) for depth in range(50))): 1.0 for number in range(3_000)}

    assert len(flame_graph(measured(stacks), "large")) < 3_000_000


def test_speedscope_gets_each_stack_with_its_weight():
    document = json.loads(json.dumps(speedscope(measured(), "a profile")))

    profile = document["profiles"][0]
    names = [frame["name"] for frame in document["shared"]["frames"]]
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert [[names[number] for number in sample] for sample in profile["samples"]] == [
        ["outer", "slow"],
        ["outer", "fast"],
    ]
    assert (profile["weights"], profile["unit"], profile["endValue"]) == ([3.0, 1.0], "seconds", 4.0)
    assert document["shared"]["frames"][1] == {"name": "slow", "file": "mine.py", "line": 9}
