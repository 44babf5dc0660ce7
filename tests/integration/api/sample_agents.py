"""Agents that the tests of the API submit work to; no worker runs them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from agent_service.agents import agent


class Text(BaseModel):
    text: str = Field(min_length=1)
    parts: list[int] = Field(default_factory=list)


class Length(BaseModel):
    characters: int


@agent("measure", version="7", owner="docs", timeout=30, retries=2)
def measure(given: Text) -> Length:
    """Count the characters of a text."""
    return Length(characters=len(given.text))


@agent("measure-alone", concurrency=1, queue="slow")
def measure_alone(given: Text) -> Length:
    """Count the characters of one text at a time."""
    return Length(characters=len(given.text))


@agent("house-keeping", internal=True)
def keep_house(given: Text) -> Length:
    """Do what only the service itself may ask for."""
    return Length(characters=len(given.text))
