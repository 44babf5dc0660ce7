"""An agent that does nothing, so that only the service around it is measured."""

from pydantic import BaseModel

from agent_service.agents import agent


class Nothing(BaseModel):
    """No input and no result."""


@agent("noop")
def noop(_: Nothing) -> Nothing:
    """Does nothing."""
    return Nothing()
