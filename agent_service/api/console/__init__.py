"""The console: one page to see agents at work, rendered here and kept up to date by server-sent events."""

from agent_service.api.console.console import Console

__all__ = ["Console"]
