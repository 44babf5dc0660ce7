"""A reference service that runs AI agents in the background and shows what they do."""

from importlib.metadata import version

__version__ = version("agent-service")
