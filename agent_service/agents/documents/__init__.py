"""The document team: agents that turn a long text into a short, checked report without a model or a network."""

from agent_service.agents.documents.critic import review
from agent_service.agents.documents.extractor import extract
from agent_service.agents.documents.planner import plan
from agent_service.agents.documents.summarizer import summarize
from agent_service.agents.documents.writer import write

__all__ = ["extract", "plan", "review", "summarize", "write"]
