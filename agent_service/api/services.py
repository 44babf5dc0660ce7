"""What the routers work with, built once for a process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request
from redis import Redis

from agent_service.agents import AgentRegistry, agent_modules
from agent_service.api.authentication import ApiKeys
from agent_service.incidents import (
    EscalationPolicy,
    IncidentDesk,
    IncidentStore,
    Reviewer,
    Runbooks,
    load_policy,
)
from agent_service.incidents.models import ALERTMANAGER
from agent_service.settings import Settings
from agent_service.tasks.broker import Broker
from agent_service.tasks.commit import GroupCommitter
from agent_service.tasks.connection import connect
from agent_service.tasks.control import TaskControl
from agent_service.tasks.dead_letters import DeadLetters
from agent_service.tasks.journal import Journal
from agent_service.tasks.links import Links
from agent_service.tasks.profiles import ProfileStore
from agent_service.tasks.queries import TaskReader
from agent_service.tasks.submission import Submitter
from agent_service.telemetry.metrics import Metrics
from agent_service.workflows import WorkflowRegistry, WorkflowRunner, load_workflows


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the HTTP edge.

    Attributes:
        redis: For reading: a command is sent once more where its connection broke.
        writes: For writing: sent once, since a transaction that is sent twice may run twice.
        alerts_token: The one key that Alertmanager has; none where alerts are not taken.
        closing: Set when the process is about to stop, so that those who follow a task are let go.
    """

    settings: Settings
    metrics: Metrics
    keys: ApiKeys
    redis: Redis
    writes: Redis
    agents: AgentRegistry
    workflows: WorkflowRegistry
    journal: Journal
    reader: TaskReader
    control: TaskControl
    dead_letters: DeadLetters
    submitter: Submitter
    committer: GroupCommitter
    runner: WorkflowRunner
    alerts_token: ApiKeys
    escalation: EscalationPolicy
    incidents: IncidentDesk
    reviewer: Reviewer
    profiles: ProfileStore
    runbooks: Runbooks
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def build(cls, settings: Settings, metrics: Metrics | None = None) -> Services:
        """Build the services; nothing is sent to Redis yet.

        Raises:
            RedisUnavailableError: The settings do not say where Redis is.
            AgentDefinitionError: An agent, or a module that should hold some, cannot be used.
            WorkflowDefinitionError: A workflow cannot be used.
            EscalationPolicyError: The escalation policy cannot be used.
        """
        metrics = metrics or Metrics()
        reads, writes = connect(settings), connect(settings, retries=0)
        modules = agent_modules(settings.agent_modules, faults=settings.fault_agents)
        agents, workflows = AgentRegistry(modules), load_workflows(modules)
        journal, links = Journal(reads, settings), Links.of(settings)
        submitter = Submitter(Broker(writes, links), agents, settings, metrics, journal)
        control = TaskControl(Broker(writes, links), settings, metrics, journal)
        runner = WorkflowRunner(submitter, control, workflows, settings)
        agents.add(runner.coordinator())
        escalation = load_policy(settings.escalation_policy)
        incidents = IncidentStore(
            reads,
            writes,
            kept=timedelta(days=settings.incident_days),
            reopened=timedelta(hours=settings.incident_reopen_hours),
        )
        return cls(
            settings=settings,
            metrics=metrics,
            keys=ApiKeys(settings.api_keys_sha256),
            redis=reads,
            writes=writes,
            agents=agents,
            workflows=workflows,
            journal=journal,
            reader=TaskReader(Broker(reads, links)),
            control=control,
            dead_letters=DeadLetters(Broker(reads, links), Broker(writes, links), control),
            submitter=submitter,
            committer=GroupCommitter(submitter, settings.max_queue_tasks),
            runner=runner,
            alerts_token=ApiKeys({ALERTMANAGER: settings.alerts_token_sha256} if settings.alerts_token_sha256 else {}),
            escalation=escalation,
            incidents=IncidentDesk(incidents, escalation, metrics),
            reviewer=Reviewer(settings),
            profiles=ProfileStore(reads, settings),
            runbooks=Runbooks(settings.runbooks_dir),
        )

    async def close(self) -> None:
        """Answer what was accepted and let the connections go."""
        await self.committer.stop()
        self.redis.close()
        self.writes.close()


async def services(request: Request) -> Services:
    """Return the services of the application that handles a request."""
    built: Services = request.app.state.services
    return built


ServicesDep = Annotated[Services, Depends(services)]
