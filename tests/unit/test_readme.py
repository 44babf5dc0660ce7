"""The agent in README.md is what a newcomer copies first, so it is run as it stands there."""

from __future__ import annotations

import asyncio
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from agent_service.agents import AgentRegistry, Context, agent_modules

ROOT = Path(__file__).parents[2]


class NeverCanceled:
    """The service, as far as the example needs it."""

    def is_canceled(self) -> bool:
        return False


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The first Python block of README.md as the module `my_agents`."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "my_agents.py").write_text(blocks[0])
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("my_agents")
    sys.modules.pop("my_agents", None)


def test_the_agent_in_the_readme_is_found_by_its_module_name(example):
    registry = AgentRegistry(agent_modules(["my_agents"], faults=False))

    assert "word-count" in registry.public_names()
    assert registry["word-count"].timeout == 30


def test_the_agent_in_the_readme_runs(example):
    context = Context(task_id="t", agent="word-count", attempt=1, workflow_id=None, backend=NeverCanceled())

    result = asyncio.run(example.word_count(example.Text(text="two words"), context))

    assert result == example.Count(words=2)


def test_every_document_that_the_readme_links_to_exists():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / "README.md").read_text())

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
