"""A form is made from a schema, and what is typed into it becomes the input."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from agent_service.agents import AgentRegistry, agent_modules
from agent_service.api.console.schema_form import Control, InputFaultError, fields_of, fill, read


class Part(BaseModel):
    text: str
    words: int = 3


class Given(BaseModel):
    title: str = Field(max_length=50)
    body: str
    count: int = Field(default=2, ge=1, le=9)
    ratio: float | None = None
    loud: bool = True
    kind: Literal["a", "b"] = "a"
    names: list[str] = Field(default_factory=list)
    part: Part | None = None
    first: Part


def form():
    return {field.key: field for field in fields_of(Given.model_json_schema(), "input")}


def test_each_kind_of_value_has_its_control():
    controls = {name: field.control for name, field in form().items()}
    assert controls == {
        "title": Control.TEXT,
        "body": Control.LONG_TEXT,
        "count": Control.INTEGER,
        "ratio": Control.NUMBER,
        "loud": Control.SWITCH,
        "kind": Control.CHOICE,
        "names": Control.JSON,
        "part": Control.GROUP,
        "first": Control.GROUP,
    }


def test_limits_and_defaults_come_from_the_schema():
    fields = form()
    assert (fields["count"].minimum, fields["count"].maximum, fields["count"].value) == (1, 9, "2")
    assert (fields["title"].maximum, fields["title"].is_required) == (50, True)
    assert fields["loud"].value == "true"
    assert fields["kind"].choices == ('"a"', '"b"')
    assert [child.name for child in fields["first"].children] == ["input.first.text", "input.first.words"]


def test_what_is_typed_becomes_the_input():
    typed = {
        "input.title": "T",
        "input.body": "a\r\nb",
        "input.count": "4",
        "input.ratio": "0.5",
        "input.kind": '"b"',
        "input.names": '["x"]',
        "input.first.text": "words",
        "input.first.words": "",
    }
    value = read(list(form().values()), typed)
    assert value == {
        "title": "T",
        "body": "a\nb",
        "count": 4,
        "ratio": 0.5,
        "loud": False,
        "kind": "b",
        "names": ["x"],
        "first": {"text": "words"},
    }
    Given.model_validate(value)


def test_a_required_text_that_is_empty_is_sent_for_the_agent_to_judge():
    value = read(list(form().values()), {"input.first.text": ""})
    assert value["title"] == ""
    assert value["first"] == {"text": ""}


@pytest.mark.parametrize(("name", "text"), [("input.count", "x"), ("input.ratio", "half"), ("input.names", "[")])
def test_what_cannot_be_read_is_named(name, text):
    with pytest.raises(InputFaultError) as caught:
        read(list(form().values()), {name: text})
    assert [error["loc"] for error in caught.value.errors] == [tuple(name.split(".")[1:])]


def test_faults_go_to_their_fields_and_the_rest_to_the_top():
    fields = list(form().values())
    errors = [
        {"loc": ("first", "text"), "msg": "too short"},
        {"loc": ("names", 0), "msg": "no text"},
        {"loc": (), "msg": "they contradict each other"},
    ]
    rest = fill(fields, {"input.title": "kept", "input.first.text": "x"}, errors, "input")
    by_name = {field.key: field for field in fields}
    assert by_name["title"].value == "kept"
    assert by_name["loud"].value == ""
    assert by_name["first"].children[0].error == "too short"
    assert by_name["names"].error == "no text"
    assert rest == "they contradict each other"


def test_every_agent_of_the_service_has_a_form():
    registry = AgentRegistry(agent_modules((), faults=True))
    for name in registry.public_names():
        schema = registry[name].input_model.model_json_schema()
        assert {field.key for field in fields_of(schema, "input")} == set(schema.get("properties", {})), name
