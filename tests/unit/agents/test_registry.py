from __future__ import annotations

from importlib.metadata import EntryPoint
from types import ModuleType

import pytest
from pydantic import BaseModel

from agent_service.agents import AgentDefinitionError, AgentRegistry, UnknownAgentError, agent, agent_modules

DOCUMENT_TEAM = ["critic", "extractor", "planner", "summarizer", "writer"]


class Nothing(BaseModel):
    pass


def do_nothing(nothing: Nothing) -> Nothing:
    return nothing


def module_with(**members):
    module = ModuleType("made_up")
    vars(module).update(members)
    return module


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write


def names(modules):
    return [module.__name__ for module in modules]


def test_the_document_team_is_built_in():
    registry = AgentRegistry(agent_modules([], faults=False))

    assert registry.public_names() == DOCUMENT_TEAM
    assert {registry[name].owner for name in registry} == {"documents"}


def test_every_agent_says_what_it_does_and_ends_in_time():
    registry = AgentRegistry(agent_modules([], faults=True))

    for definition in registry.values():
        assert definition.description.endswith("."), definition.name
        assert "\n" not in definition.description
        definition.input_model.model_json_schema()
        definition.result_model.model_json_schema()


def test_every_field_of_the_document_team_is_described():
    registry = AgentRegistry(agent_modules([], faults=False))

    for definition in registry.values():
        for model in (definition.input_model, definition.result_model):
            schema = model.model_json_schema()
            for part in (schema, *schema.get("$defs", {}).values()):
                for name, field in part["properties"].items():
                    assert "description" in field or "$ref" in field, f"{part['title']}.{name}"


def test_fault_agents_are_only_there_when_allowed():
    without = AgentRegistry(agent_modules([], faults=False))
    allowed = AgentRegistry(agent_modules([], faults=True))

    assert not [name for name in without if name.startswith("fault-")]
    assert [name for name in allowed.public_names() if not name.startswith("fault-")] == DOCUMENT_TEAM
    assert len(allowed) > len(without)


def test_modules_come_from_packages_and_settings_each_once(write_module, monkeypatch):
    write_module("installed_agents", "")
    write_module("named_agents", "")
    points = [EntryPoint("mine", "installed_agents:anything [extra]", "agent_service.agents")]
    monkeypatch.setattr("agent_service.agents.registry.entry_points", lambda **_: points)

    found = names(agent_modules(["named_agents", "installed_agents", "named_agents"], faults=False))

    assert found == ["agent_service.agents.documents", "installed_agents", "named_agents"]


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("no_such_module_at_all", None, "No module named"),
        ("module_with_a_typo", "def (", "invalid syntax"),
        ("module_that_fails", "raise RuntimeError('no licence')", "no licence"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(write_module, name, source, reason):
    if source is not None:
        write_module(name, source)

    with pytest.raises(AgentDefinitionError, match=reason) as refused:
        agent_modules([name], faults=False)
    assert repr(name) in str(refused.value)


def test_two_agents_of_one_name_are_refused():
    first, second = agent("twin")(do_nothing), agent("twin", version="2")(do_nothing)

    with pytest.raises(AgentDefinitionError, match="two agents are named 'twin'"):
        AgentRegistry([module_with(first=first, second=second)])


def test_an_agent_may_be_imported_by_several_modules():
    shared = agent("shared")(do_nothing)

    assert list(AgentRegistry([module_with(a=shared), module_with(b=shared, other=3)])) == ["shared"]


def test_an_unknown_agent_is_answered_with_the_public_names():
    registry = AgentRegistry(
        [module_with(a=agent("visible")(do_nothing), b=agent("hidden", internal=True)(do_nothing))]
    )

    assert "hidden" in registry
    assert registry["hidden"].internal
    assert registry.public_names() == ["visible"]
    with pytest.raises(UnknownAgentError) as unknown:
        registry["nobody"]
    assert str(unknown.value) == "there is no agent 'nobody'; there are visible"
    assert registry.get("nobody") is None
