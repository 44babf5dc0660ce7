"""What a stock `rq worker` calls, so that it can work the same queue beside ours.

It gives the task its spans, log context and progress, but none of the worker's metrics: the process that would show
them lives for one task only. Run it with `rq worker --serializer rq.serializers.JSONSerializer`.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from agent_service.agents import AgentRegistry, Context, agent_modules
from agent_service.settings import Settings
from agent_service.tasks.broker import Broker
from agent_service.tasks.connection import connect
from agent_service.tasks.control import TaskControl
from agent_service.tasks.journal import Journal, JournalWriter
from agent_service.tasks.ledger import current_task
from agent_service.tasks.models import TaskError
from agent_service.tasks.profiles import ProfileStore
from agent_service.tasks.queries import TaskReader
from agent_service.tasks.submission import Submitter
from agent_service.telemetry.contract import Outcome, ServiceName
from agent_service.telemetry.logs import configure_logging
from agent_service.telemetry.metrics import Metrics
from agent_service.telemetry.traces import SpanSink, configure_tracing, shutdown_tracing
from agent_service.worker.attempt import Attempt, classify
from agent_service.worker.backend import TaskBackend
from agent_service.worker.profiling import Profiler
from agent_service.workflows import WorkflowRunner, load_workflows

FLUSH_SECONDS = 5.0


def run_task(*, agent: str, payload: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - RQ passes what the job holds
    """Run the task of the RQ job that is current in this process, and return its result.

    Args:
        agent: The agent's name.
        payload: Its input; both stand in the job for RQ's sake and are read from there.

    Raises:
        Exception: Whatever the agent raises.
    """
    settings = Settings()
    configure_logging(ServiceName.WORKER, settings)
    redis = connect(settings)
    journal = Journal(redis, settings)
    if settings.telemetry:
        configure_tracing(ServiceName.WORKER, exporters=[SpanSink(journal.write_spans)] if journal.is_kept else [])
    writer = JournalWriter(redis, journal)
    broker = Broker(redis)
    modules = agent_modules(settings.agent_modules, faults=settings.fault_agents)
    agents = AgentRegistry(modules)
    submitter = Submitter(broker, agents, settings, Metrics(), journal)
    control = TaskControl(broker, settings, Metrics(), journal)
    agents.add(WorkflowRunner(submitter, control, load_workflows(modules), settings).coordinator())

    started = current_task()
    started.count_attempt()
    Attempt.profiler = Profiler(ProfileStore(redis, settings), started.job.worker_name or "rq")
    attempt = Attempt.begin(started, agents.get(agent))
    backend = TaskBackend(started.id, started.meta.workflow_id, submitter, TaskReader(broker), writer)
    context = Context(
        task_id=started.id,
        agent=agent,
        attempt=started.attempt,
        workflow_id=started.meta.workflow_id,
        backend=backend,
    )
    outcome, error = Outcome.SUCCESS, None
    try:
        with attempt.observed():
            return attempt.check_result(_call(attempt, context))
    except BaseException as failure:
        outcome, error = classify(failure)
        raise
    finally:
        _finish(attempt, outcome, error, writer)


def _call(attempt: Attempt, context: Context) -> object:
    payload = attempt.read_input()
    result = attempt.invoke(payload, context)
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Any) -> object:
    return await result


def _finish(attempt: Attempt, outcome: Outcome, error: TaskError | None, writer: JournalWriter) -> None:
    attempt.started.keep_error(error)
    attempt.end(outcome, error)
    if Attempt.profiler is not None:
        Attempt.profiler.close()
    writer.close(FLUSH_SECONDS)
    shutdown_tracing(FLUSH_SECONDS)
