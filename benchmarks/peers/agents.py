"""The tasks as agents."""

from pydantic import BaseModel

from agent_service.agents import agent
from benchmarks.peers import work


class Sent(BaseModel):
    """When a task was submitted, in Unix seconds, or 0."""

    sent: float = 0.0


class Nothing(BaseModel):
    """No result."""


@agent("bench-noop")
def noop(given: Sent) -> Nothing:
    """Do nothing."""
    work.noop(given.sent)
    return Nothing()


@agent("bench-cpu")
def cpu(_: Sent) -> Nothing:
    """Compute for 5 ms."""
    work.cpu()
    return Nothing()


@agent("bench-wait")
async def wait(_: Sent) -> Nothing:
    """Wait for 20 ms."""
    await work.wait_async()
    return Nothing()


@agent("bench-document")
def document(_: Sent) -> Nothing:
    """Rank the sentences of a document."""
    work.document()
    return Nothing()
