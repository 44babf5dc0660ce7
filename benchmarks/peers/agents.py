"""The tasks as agents."""

from pydantic import BaseModel

from agent_service.agents import agent
from benchmarks.peers import work


class Nothing(BaseModel):
    """No input and no result."""


@agent("bench-noop")
def noop(_: Nothing) -> Nothing:
    """Do nothing."""
    work.noop()
    return Nothing()


@agent("bench-cpu")
def cpu(_: Nothing) -> Nothing:
    """Compute for 5 ms."""
    work.cpu()
    return Nothing()


@agent("bench-wait")
async def wait(_: Nothing) -> Nothing:
    """Wait for 20 ms."""
    await work.wait_async()
    return Nothing()
