"""Runbooks are found by their name and by nothing else."""

from __future__ import annotations

import pytest

from agent_service.incidents import Runbooks


@pytest.fixture
def runbooks(tmp_path):
    folder = tmp_path / "runbooks"
    (folder / "Folder.md").mkdir(parents=True)
    for name in ("AgentFailing.md", "QueueGrowing.md", "README.md", ".hidden.md", "notes.txt", "Two.Dots.md"):
        (folder / name).write_text(f"# {name}")
    (tmp_path / "Secret.md").write_text("secret")
    return Runbooks(folder)


def test_they_are_listed(runbooks):
    assert runbooks.names() == ["AgentFailing", "QueueGrowing"]


def test_one_is_read_by_its_name(runbooks):
    assert runbooks.text("AgentFailing") == "# AgentFailing.md"


@pytest.mark.parametrize(
    "name",
    [
        "../Secret",
        "..%2fSecret",
        "/etc/passwd",
        "",
        ".",
        "..",
        "AgentFailing.md",
        "README",
        "Folder",
        "agentfailing",
        "A\0",
    ],
)
def test_nothing_else_can_be_reached(runbooks, name):
    assert runbooks.text(name) is None


def test_what_is_like_it_is_known(runbooks):
    assert runbooks.like("agentfailling") == ["AgentFailing"]
    assert runbooks.like("zzz" * 1000) == []


def test_without_a_folder_there_are_none(tmp_path):
    missing = Runbooks(tmp_path / "missing")
    assert missing.names() == []
    assert missing.text("AgentFailing") is None
