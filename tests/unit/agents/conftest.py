"""Agents are run here without a service: the context's backend only remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agent_service.agents import Context


class RememberingBackend:
    def __init__(self) -> None:
        self.progress: list[tuple[float, str]] = []
        self.submitted: list[tuple[str, Mapping[str, Any]]] = []
        self.canceled = False

    def report_progress(self, fraction: float, message: str) -> None:
        self.progress.append((fraction, message))

    def is_canceled(self) -> bool:
        return self.canceled

    def submit(self, agent: str, payload: Mapping[str, Any]) -> str:
        self.submitted.append((agent, payload))
        return f"task-{len(self.submitted)}"

    async def result(self, task_id: str, seconds: float) -> dict[str, Any]:
        return {"task": task_id, "seconds": seconds}


@pytest.fixture(scope="module")
def quiet_context() -> Context:
    """For property tests, which run many examples in one context."""
    return Context(task_id="task-0", agent="tested", attempt=1, workflow_id=None, backend=RememberingBackend())


@pytest.fixture
def backend() -> RememberingBackend:
    return RememberingBackend()


@pytest.fixture
def make_context(backend: RememberingBackend) -> Callable[..., Context]:
    def make(agent: str = "tested", attempt: int = 1) -> Context:
        return Context(task_id="task-0", agent=agent, attempt=attempt, workflow_id=None, backend=backend)

    return make


@pytest.fixture
def context(make_context: Callable[..., Context]) -> Context:
    return make_context()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Finished spans of `Context.tool`."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("agent_service.agents.context.tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()
