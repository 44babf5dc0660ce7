"""The command line."""

from agent_service.cli.app import main

__all__ = ["main"]
