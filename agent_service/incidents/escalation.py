"""The escalation policy: after how many minutes without an acknowledgement who is told.

The policy only says when. That it is time is found by a rule of Prometheus, which compares the metric
`incident_unacknowledged_seconds` with `incident_escalation_after_seconds`, and Alertmanager does the telling.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from agent_service.incidents.errors import EscalationPolicyError

ANY: Final = "*"
DEFAULT_POLICY: Final = Path(__file__).with_name("escalation.toml")
LONGEST_MINUTES: Final = 7 * 24 * 60

Label = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Teams = Annotated[
    list[Label], Field(min_length=1), BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
]
Receiver = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


class EscalationStep(BaseModel):
    """One step.

    Attributes:
        after_minutes: Minutes from the opening of an incident that nobody has acknowledged.
        receiver: The label by which Alertmanager routes the step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    after_minutes: float = Field(gt=0, le=LONGEST_MINUTES)
    receiver: Receiver

    @property
    def after_seconds(self) -> float:
        """The same in seconds."""
        return self.after_minutes * 60


class EscalationEntry(BaseModel):
    """The steps for incidents of one severity and one team, or several; `*` stands for any."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    severity: Label
    team: Teams = Field(default=[ANY])
    steps: list[EscalationStep] = Field(max_length=9)

    @field_validator("steps")
    @classmethod
    def _check_order(cls, steps: list[EscalationStep]) -> list[EscalationStep]:
        for number, (before, after) in enumerate(pairwise(steps), start=2):
            if after.after_minutes <= before.after_minutes:
                raise ValueError(
                    f"step {number} comes after {after.after_minutes:g} minutes, which is not later than the "
                    f"{before.after_minutes:g} of the step before it"
                )
        return steps


class EscalationPolicy(BaseModel):
    """All entries of a policy file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    policy: list[EscalationEntry]

    @field_validator("policy")
    @classmethod
    def _check_pairs(cls, entries: list[EscalationEntry]) -> list[EscalationEntry]:
        first: dict[tuple[str, str], int] = {}
        for number, entry in enumerate(entries, start=1):
            for team in dict.fromkeys(entry.team):
                other = first.setdefault((entry.severity, team), number)
                if other != number:
                    raise ValueError(
                        f"entries {other} and {number} are both for severity {entry.severity!r} and team {team!r}"
                    )
        return entries

    def steps(self, severity: str, team: str) -> list[EscalationStep]:
        """Return the steps for an incident: of the entry that names severity and team, else severity, else team."""
        entries = {(entry.severity, name): entry.steps for entry in self.policy for name in entry.team}
        for pair in ((severity, team), (severity, ANY), (ANY, team), (ANY, ANY)):
            if pair in entries:
                return entries[pair]
        return []

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield every severity and team that an entry names in full."""
        for entry in self.policy:
            if entry.severity != ANY:
                yield from ((entry.severity, team) for team in entry.team if team != ANY)


def load_policy(file: Path | None = None) -> EscalationPolicy:
    """Return the policy in a file, or the one that comes with the service.

    Raises:
        EscalationPolicyError: The file cannot be read or is no policy; the message names the place.
    """
    file = file or DEFAULT_POLICY
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise EscalationPolicyError(f"the escalation policy {file} cannot be read: {reason}") from error
    except ValueError as error:  # of the TOML, or of the UTF-8
        raise EscalationPolicyError(f"the escalation policy {file} is no TOML: {error}") from error
    try:
        return EscalationPolicy.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(_fault_text(fault, content) for fault in error.errors(include_url=False))
        raise EscalationPolicyError(f"the escalation policy {file} cannot be used: {faults}") from None


_ITEM = {"policy": "entry", "steps": "step"}


def _fault_text(fault: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """Return where a fault is, counted from 1 as people do, and what it is."""
    place: list[str] = []
    for part in fault["loc"]:
        if isinstance(part, int):
            place[-1] = f"{_ITEM.get(place[-1], place[-1])} {part + 1}"
            if len(place) == 1:
                place[0] += _pair_text(content["policy"][part])
        else:
            place.append(part)
    message = fault["msg"].removeprefix("Value error, ")
    return f"{', '.join(place)}: {message}" if place else message


def _pair_text(entry: object) -> str:
    if not isinstance(entry, dict):
        return ""
    names = [f"{key} {entry[key]!r}" for key in ("severity", "team") if key in entry]
    return f" ({', '.join(names)})" if names else ""
