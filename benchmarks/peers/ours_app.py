"""The tasks for this service, submitted by its library as the others' are by theirs."""

from collections.abc import Iterator
from contextlib import contextmanager

from agent_service.agents import AgentRegistry, agent_modules
from agent_service.settings import Settings
from agent_service.tasks.broker import Broker
from agent_service.tasks.connection import connect
from agent_service.tasks.journal import Journal
from agent_service.tasks.models import Submission
from agent_service.tasks.submission import Submitter
from agent_service.telemetry.contract import ServiceName
from agent_service.telemetry.metrics import Metrics
from agent_service.telemetry.traces import SpanSink, configure_tracing, shutdown_tracing

BATCH = 500
FLUSH_SECONDS = 5.0


@contextmanager
def _submitter() -> Iterator[Submitter]:
    settings = Settings()
    redis = connect(settings, retries=0)
    journal = Journal(redis, settings)
    if settings.telemetry:
        configure_tracing(ServiceName.API, exporters=[SpanSink(journal.write_spans)])
    yield Submitter(
        Broker(redis), AgentRegistry(agent_modules(settings.agent_modules, faults=False)), settings, Metrics(), journal
    )
    shutdown_tracing(FLUSH_SECONDS)


def fill(kind: str, moments: Iterator[float]) -> None:
    """Submit a task at each moment."""
    with _submitter() as submitter:
        for sent in moments:
            submitter.submit(Submission(agent=f"bench-{kind}", input={"sent": sent}))


def fill_at_once(kind: str, count: int) -> None:
    """Submit `count` tasks in batches, to fill a queue quickly."""
    with _submitter() as submitter:
        for start in range(0, count, BATCH):
            tasks = [Submission(agent=f"bench-{kind}") for _ in range(min(BATCH, count - start))]
            submitter.enqueue([submitter.prepare(task) for task in tasks])
