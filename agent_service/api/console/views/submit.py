"""`/console/submit`: a form made from the schema of an agent or a workflow, and what is typed into it submitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from anyio.from_thread import run as run_in_loop
from fastapi import Response
from pydantic import ValidationError

from agent_service.agents import UnknownAgentError
from agent_service.api.console import schema_form
from agent_service.api.console.forms import Form
from agent_service.api.console.rendering import Page
from agent_service.api.console.routing import Look, done
from agent_service.api.console.schema_form import FormField, InputFaultError
from agent_service.api.submitting import submit as submit_task
from agent_service.tasks.errors import InvalidCallbackError, InvalidInputError
from agent_service.tasks.models import Submission, TaskOptions

INPUT: Final = "input"
OPTIONS: Final = "options"
_OFFERED: Final = ("priority", "delay_seconds", "timeout_seconds", "retries", "profile")
"""The options that the form offers; a field of `TaskOptions` that is not there is left out."""
UNPROCESSABLE: Final = 422


@dataclass(frozen=True, slots=True)
class Target:
    """What can be submitted to.

    Attributes:
        kind: `agent` or `workflow`.
        schema: JSON schema of what it takes.
    """

    kind: str
    name: str
    description: str
    schema: Mapping[str, Any]


def submit_form(look: Look) -> Page:
    """Show the form of the agent or workflow that is asked for, or let somebody choose one."""
    return _page(look, _target(look, look.query), {}, [], look.query.get("raw", ""))


def submit(look: Look, form: Form) -> Response | Page:
    """Submit what was typed, or show the form again with what is wrong with it."""
    target = _target(look, form)
    if target is None:
        return _page(look, None, {}, [], "")
    try:
        return _submit(look, target, form)
    except (InputFaultError, InvalidInputError) as error:
        return _page(look, target, form, error.errors, form.get("raw", ""))
    except ValidationError as error:
        faults = [{"loc": fault["loc"], "msg": fault["msg"]} for fault in error.errors()]
        return _page(look, target, form, [], form.get("raw", ""), faults)
    except InvalidCallbackError as error:
        return _page(look, target, form, [{"loc": (), "msg": str(error)}], form.get("raw", ""))


def _submit(look: Look, target: Target, form: Form) -> Response:
    payload = _payload(target, form)
    if target.kind == "workflow":
        run = look.services.runner.start(target.name, payload, submitted_by=look.caller)
        return done(f"/console/workflows/{run.id}", "submitted")
    options = TaskOptions.model_validate(schema_form.read(_option_fields(), form))
    submission = Submission(agent=target.name, input=payload, options=options)
    task, _ = run_in_loop(submit_task, look.services, submission, look.caller, None)
    return done(f"/console/tasks/{task.id}", "submitted")


def _payload(target: Target, form: Form) -> dict[str, Any]:
    """Return the input that was typed, into the fields or as JSON.

    Raises:
        InputFaultError: It cannot be read.
    """
    if not form.get("raw"):
        return schema_form.read(schema_form.fields_of(target.schema, INPUT), form)
    whole = FormField(name=f"{INPUT}.json", key="json", control=schema_form.Control.JSON, title="", is_required=True)
    value = schema_form.read([whole], {whole.name: form.get("json", "")} if form.get("json") else {})
    payload = value.get("json")
    if not isinstance(payload, dict):
        raise InputFaultError([{"loc": (), "msg": "The input is a JSON object."}])
    return payload


def _page(
    look: Look,
    target: Target | None,
    typed: Mapping[str, str],
    errors: list[dict[str, Any]],
    raw: str,
    option_errors: list[dict[str, Any]] | None = None,
) -> Page:
    agents = look.services.agents
    context: dict[str, Any] = {
        "target": target,
        "agents": [(name, agents[name].description) for name in agents.public_names()],
        "workflows": [(name, workflow.description) for name, workflow in sorted(look.services.workflows.items())],
        "fields": [],
        "options": [],
        "fault": "",
        "raw": bool(raw),
        "json": typed.get("json", "{}"),
    }
    if target is not None:
        fields, options = schema_form.fields_of(target.schema, INPUT), _option_fields()
        if typed:
            context["fault"] = schema_form.fill(fields, typed, errors, INPUT)
            schema_form.fill(options, typed, option_errors or [], OPTIONS)
        if raw:
            context["fault"] = "; ".join(_told(error) for error in errors)
        context |= {"fields": fields, "options": options if target.kind == "agent" else []}
    status = UNPROCESSABLE if errors or option_errors else 200
    title = f"Submit to {target.name}" if target else "Submit"
    return Page("submit", title, context, status, is_live=False)


def _target(look: Look, asked: Mapping[str, str]) -> Target | None:
    """Return what is to be submitted to, or None where nothing was chosen.

    Raises:
        UnknownAgentError, UnknownWorkflowError: There is nothing of that name.
    """
    name = asked.get("agent", "")
    if name:
        agents = look.services.agents
        if name not in agents.public_names():
            raise UnknownAgentError(name, agents.public_names())
        return Target("agent", name, agents[name].description, agents[name].input_model.model_json_schema())
    name = asked.get("workflow", "")
    if name:
        workflow = look.services.workflows[name]
        return Target("workflow", name, workflow.description, workflow.input_model.model_json_schema())
    return None


def _option_fields() -> list[FormField]:
    fields = {entry.key: entry for entry in schema_form.fields_of(TaskOptions.model_json_schema(), OPTIONS)}
    return [fields[name] for name in _OFFERED if name in fields]


def _told(error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {error['msg']}" if place and place != "json" else str(error["msg"])
