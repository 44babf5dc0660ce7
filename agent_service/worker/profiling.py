"""Takes profiles in the child: of a task that asks for one, of the next tasks of an agent, or of all that it does.

While nobody asks, a task costs one look at its options and at an empty set.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span
from redis.exceptions import RedisError

from agent_service.agents import AgentDefinition
from agent_service.tasks.jobs import TaskMeta
from agent_service.tasks.profiles import ProfileStore, ProfileSummary
from agent_service.telemetry.contract import Attribute
from agent_service.telemetry.identifiers import uuid7
from agent_service.telemetry.profiles import (
    GuardedCollector,
    Measured,
    ProfileKind,
    ProfilerBusyError,
    collector_for_call,
    collector_for_process,
)

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
"""How long a child that leaves waits for the profile of its process to be kept."""


class Profiler:
    """Decides which tasks are profiled, and keeps what came of it.

    What a profiler has gathered is made into tables and stacks, and written to Redis, by a thread of its own, so that
    neither a task's time limit nor its neighbours in the event loop pay for that.
    """

    def __init__(self, store: ProfileStore, worker: str) -> None:
        """Prepare.

        Args:
            store: Keeps profiles, and knows which are asked for.
            worker: The name of the worker.
        """
        self._store = store
        self._worker = worker
        self._agents: Mapping[str, ProfileKind] = {}
        self._keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="profiles")
        self._process_thread: threading.Thread | None = None
        self._over = threading.Event()

    def refresh(self) -> None:
        """Read which agents are to be profiled."""
        try:
            self._agents = self._store.requested_agents()
        except RedisError as error:
            logger.warning("which agents are to be profiled is not known: %s", error)

    def wants(self, meta: TaskMeta) -> bool:
        """Return whether a task may have to be profiled."""
        return meta.profile is not None or meta.agent in self._agents

    def call(self, task_id: str, meta: TaskMeta, definition: AgentDefinition[Any, Any], call: Callable[[], Any]) -> Any:
        """Call an agent's function under a profiler, or without where none can run now.

        Args:
            task_id: The task.
            meta: What the books say of it.
            definition: Its agent.
            call: Calls the function.

        Returns:
            What the function returned; of an async agent, a coroutine.
        """
        kind = meta.profile or self._agents.get(meta.agent)
        collector = self._collector(kind, meta, definition) if kind else None
        if kind is None or collector is None:
            return call()
        # Imported when the first profile is taken, like the profilers.
        from agent_service.telemetry.profiles.steps import await_profiled, call_profiled

        summary = self._summary(uuid7(), kind).model_copy(
            update={"agent": meta.agent, "task_id": task_id, "workflow_id": meta.workflow_id}
        )
        run = await_profiled if definition.is_async else call_profiled
        return run(collector, call, partial(self._keep, collector, summary, trace.get_current_span()))

    def profile_process(self, profile_id: str, kind: ProfileKind, seconds: float) -> None:
        """Profile everything that this process does for a while, and return at once."""
        self._process_thread = threading.Thread(
            target=self._profile_process, args=(profile_id, kind, seconds), name="profile-worker", daemon=True
        )
        self._process_thread.start()

    def close(self) -> None:
        """End the profile of the process, if one is being taken, and keep what is still to be kept."""
        self._over.set()
        if self._process_thread is not None:
            self._process_thread.join(CLOSE_SECONDS)
        self._keeper.shutdown()

    def _collector(
        self, kind: ProfileKind, meta: TaskMeta, definition: AgentDefinition[Any, Any]
    ) -> GuardedCollector | None:
        """Return a reserved collector, where one is to be had and the task is one of those that are wanted."""
        try:
            collector = collector_for_call(kind, definition.function, by_steps=definition.is_async)
            collector.reserve()
        except (ProfilerBusyError, ImportError) as error:
            if meta.profile:  # else the next task of the agent will do
                logger.warning("the task is not profiled: %s", error)
            return None
        if meta.profile or self._claim(meta.agent, kind):
            return collector
        collector.release()
        return None

    def _claim(self, agent: str, kind: ProfileKind) -> bool:
        try:
            if self._store.claim(agent, kind):
                return True
        except RedisError as error:
            logger.warning("the task is not profiled: %s", error)
            return False
        self.refresh()
        return False

    def _summary(self, profile_id: str, kind: ProfileKind) -> ProfileSummary:
        return ProfileSummary(id=profile_id, kind=kind, worker=self._worker, started_at=datetime.now(UTC), seconds=0)

    def _keep(self, collector: GuardedCollector, summary: ProfileSummary, span: Span) -> None:
        """End a task's profile, and have it kept."""
        try:
            evaluate = collector.end()
            span.set_attributes({Attribute.PROFILE_ID: summary.id, Attribute.PROFILE_KIND: summary.kind.value})
            logger.info("profile taken", extra={"profile_id": summary.id, "profile_kind": summary.kind.value})
            self._keeper.submit(copy_context().run, self._save, _ended(summary), evaluate)
        except Exception:
            logger.exception("the profile is lost")

    def _profile_process(self, profile_id: str, kind: ProfileKind, seconds: float) -> None:
        try:
            collector = collector_for_process(kind)
            collector.reserve()
            summary = self._summary(profile_id, kind)
            collector.begin()
        except (ProfilerBusyError, ImportError, ValueError) as error:
            logger.warning("the worker is not profiled: %s", error)
            return
        self._over.wait(seconds)
        evaluate = collector.end()
        logger.info("profile taken", extra={"profile_id": profile_id, "profile_kind": kind.value})
        self._save(_ended(summary), evaluate)

    def _save(self, summary: ProfileSummary, evaluate: Callable[[], Measured]) -> None:
        try:
            self._store.save(summary, evaluate())
        except RedisError as error:
            logger.warning("the profile is lost, Redis being away: %s", error)
        except Exception:
            logger.exception("the profile is lost")


def _ended(summary: ProfileSummary) -> ProfileSummary:
    seconds = (datetime.now(UTC) - summary.started_at).total_seconds()
    return summary.model_copy(update={"seconds": seconds})
