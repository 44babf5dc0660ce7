"""A form made from a JSON schema, and what somebody typed into it turned back into JSON.

Texts, numbers, choices, switches and objects of those become fields; anything else, such as a list, is a field that
takes JSON. What the fields say is not checked here: the agent's own model does that, and what it finds goes to the
fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

DEEPEST: Final = 3
"""Objects inside objects, past which JSON is easier to read than fields."""
SHORT_TEXT: Final = 200
"""A text that may be longer than this gets several lines."""
_SHORT_NAMES: Final = frozenset({"title", "name", "id", "key", "url", "path", "owner", "label", "agent", "kind"})
SEPARATOR: Final = "."

Schema = Mapping[str, Any]


class Control(StrEnum):
    """How a field is filled in."""

    TEXT = "text"
    LONG_TEXT = "long-text"
    INTEGER = "integer"
    NUMBER = "number"
    SWITCH = "switch"
    CHOICE = "choice"
    JSON = "json"
    GROUP = "group"


@dataclass(slots=True)
class FormField:
    """One field.

    Attributes:
        name: The path of its value in the input, its parts joined by dots.
        key: The last part.
        value: What stands in it.
        error: What is wrong with that.
        minimum: Least number, or length of a text.
        maximum: Greatest number, or length of a text.
        step: What numbers are multiples of; `any` for all.
    """

    name: str
    key: str
    control: Control
    title: str
    description: str = ""
    is_required: bool = False
    value: str = ""
    error: str = ""
    choices: Sequence[str] = ()
    minimum: float | None = None
    maximum: float | None = None
    step: str = "any"
    children: list[FormField] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Its id in the page."""
        return "f-" + self.name.replace(SEPARATOR, "-")


class InputFaultError(Exception):
    """What was typed cannot be turned into JSON.

    Attributes:
        errors: One entry a fault: `loc` (path of the field) and `msg`, as pydantic gives them.
    """

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(f"{len(errors)} fields cannot be read")
        self.errors = errors


def fields_of(schema: Schema, prefix: str) -> list[FormField]:
    """Return the fields of an object's schema.

    Args:
        schema: The schema, with its definitions in `$defs`.
        prefix: What their names start with.
    """
    return _children(schema, schema.get("$defs", {}), prefix, 0)


def fill(
    fields: Sequence[FormField], typed: Mapping[str, str], errors: Sequence[Mapping[str, Any]], prefix: str
) -> str:
    """Put what was typed, and what is wrong with it, into the fields.

    Returns:
        What is wrong with the input as a whole, where no field is at fault.
    """
    by_name = {entry.name: entry for entry in _flat(fields)}
    for name, entry in by_name.items():
        if entry.control is Control.SWITCH:
            entry.value = "true" if name in typed else ""
        elif name in typed:
            entry.value = typed[name]
    left = []
    for error in errors:
        at = _place(SEPARATOR.join([prefix, *(str(part) for part in error["loc"])]), by_name)
        if at is None:
            left.append(f"{SEPARATOR.join(str(part) for part in error['loc'])}: {error['msg']}".lstrip(": "))
        else:
            at.error = str(error["msg"])
    return "; ".join(left)


def read(fields: Sequence[FormField], typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the input that was typed; a field that is optional and empty is left out.

    Raises:
        InputFaultError: A field that takes JSON, or a number, holds something else.
    """
    errors: list[dict[str, Any]] = []
    value = _read_group(fields, typed, errors)
    if errors:
        raise InputFaultError(errors)
    return value


def _read_group(fields: Sequence[FormField], typed: Mapping[str, str], errors: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in fields:
        if entry.control is Control.GROUP:
            if entry.is_required or any(_is_touched(child, typed) for child in _flat(entry.children)):
                found[entry.key] = _read_group(entry.children, typed, errors)
        elif entry.control is Control.SWITCH:
            found[entry.key] = entry.name in typed
        elif (text := typed.get(entry.name, "")) or (entry.is_required and entry.control in _TEXTS):
            try:
                found[entry.key] = _value(entry, text)
            except ValueError as error:
                errors.append({"loc": tuple(entry.name.split(SEPARATOR)[1:]), "msg": _why(entry, error)})
    return found


def _is_touched(entry: FormField, typed: Mapping[str, str]) -> bool:
    """Whether something else stands in a field than what stood there at first."""
    if entry.control is Control.SWITCH:
        return (entry.name in typed) != bool(entry.value)
    return typed.get(entry.name, "") not in {"", entry.value}


_TEXTS: Final = frozenset({Control.TEXT, Control.LONG_TEXT})


def _value(entry: FormField, text: str) -> Any:
    if entry.control is Control.INTEGER:
        return int(text)
    if entry.control is Control.NUMBER:
        return float(text)
    if entry.control is Control.JSON:
        return json.loads(text)
    if entry.control is Control.CHOICE:
        return next((json.loads(choice) for choice in entry.choices if choice == text), text)
    return text.replace("\r\n", "\n")


def _why(entry: FormField, error: ValueError) -> str:
    if entry.control is Control.JSON:
        return f"This is no JSON: {error}"
    return "This is no whole number." if entry.control is Control.INTEGER else "This is no number."


def _place(name: str, by_name: Mapping[str, FormField]) -> FormField | None:
    """Return the field of a path, or the nearest one above it."""
    while name:
        if name in by_name:
            return by_name[name]
        name = name.rpartition(SEPARATOR)[0]
    return None


def _flat(fields: Sequence[FormField]) -> list[FormField]:
    return [entry for top in fields for entry in (top, *_flat(top.children))]


def _children(schema: Schema, definitions: Schema, prefix: str, depth: int) -> list[FormField]:
    required = set(schema.get("required", ()))
    return [
        _field(part, definitions, prefix, name, name in required, depth)
        for name, part in schema.get("properties", {}).items()
    ]


def _field(part: Schema, definitions: Schema, prefix: str, key: str, is_required: bool, depth: int) -> FormField:
    schema = _resolved(part, definitions)
    control = _control(schema, key, depth)
    entry = FormField(
        name=f"{prefix}{SEPARATOR}{key}",
        key=key,
        control=control,
        title=str(part.get("title") or key.replace("_", " ").capitalize()),
        description=str(part.get("description") or schema.get("description") or ""),
        is_required=is_required,
        value=_default(part.get("default", schema.get("default")), control),
    )
    if control is Control.GROUP:
        entry.children = _children(schema, definitions, entry.name, depth + 1)
    elif control is Control.CHOICE:
        entry.choices = tuple(json.dumps(choice, ensure_ascii=False) for choice in schema["enum"])
    else:
        _limit(entry, schema)
    return entry


def _resolved(part: Schema, definitions: Schema) -> Schema:
    """Return a schema with its reference followed, and the one that is left of `X or null`."""
    schema = part
    for _ in range(DEEPEST):
        if "$ref" in schema:
            schema = definitions.get(str(schema["$ref"]).rpartition("/")[2], {})
        elif len(schema.get("allOf", ())) == 1:
            schema = schema["allOf"][0]
        else:
            options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
            if len(options) != 1:
                break
            schema = options[0]
    return schema


_SIMPLE: Final = {
    "integer": Control.INTEGER,
    "number": Control.NUMBER,
    "boolean": Control.SWITCH,
}


def _control(schema: Schema, key: str, depth: int) -> Control:
    kind = schema.get("type")
    if "enum" in schema:
        return Control.CHOICE
    if kind == "string":
        is_short = schema.get("maxLength", SHORT_TEXT + 1) <= SHORT_TEXT or "format" in schema or key in _SHORT_NAMES
        return Control.TEXT if is_short else Control.LONG_TEXT
    if kind == "object" and "properties" in schema and depth < DEEPEST:
        return Control.GROUP
    return _SIMPLE.get(str(kind), Control.JSON)


def _default(value: Any, control: Control) -> str:
    if value is None or control is Control.GROUP:
        return ""
    if control is Control.SWITCH:
        return "true" if value else ""
    if control in _TEXTS:
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _limit(entry: FormField, schema: Schema) -> None:
    if entry.control in _TEXTS:
        entry.minimum, entry.maximum = schema.get("minLength"), schema.get("maxLength")
        return
    entry.minimum = schema.get("minimum", schema.get("exclusiveMinimum"))
    entry.maximum = schema.get("maximum", schema.get("exclusiveMaximum"))
    if entry.control is Control.INTEGER:
        entry.step = "1"
