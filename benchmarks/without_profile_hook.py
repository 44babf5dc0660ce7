"""Takes the place where profiles begin out of a worker, for comparison; loaded as one of AGENT_MODULES."""

from __future__ import annotations

from pydantic import BaseModel

from agent_service.agents import Context
from agent_service.worker.attempt import Attempt, UnknownAgentHereError


def _invoke(self: Attempt, payload: BaseModel, context: Context) -> object:
    if self.definition is None:
        raise UnknownAgentHereError(self.started.meta.agent)
    return self.definition.invoke(payload, context)


Attempt.invoke = _invoke  # type: ignore[method-assign]
