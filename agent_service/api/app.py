"""The application: its routes, what surrounds every request, and the services behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from agent_service import __version__
from agent_service.api import pages, problems
from agent_service.api.console import Console
from agent_service.api.console.router import console_router
from agent_service.api.documentation import TAGS, AgentApi, operation_id
from agent_service.api.middleware import BodyLimit, RequestMetrics, SecurityHeaders, UnforeseenErrors
from agent_service.api.routes import (
    agents,
    alerts,
    dead_letters,
    events,
    health,
    incidents,
    profiles,
    tasks,
    workers,
    workflows,
)
from agent_service.api.services import Services
from agent_service.api.tracing import RequestSpans
from agent_service.settings import Settings


def create_app(settings: Settings, services: Services | None = None) -> FastAPI:
    """Return the application; its services start and stop with its lifespan.

    Args:
        settings: The settings.
        services: The services, where they were built before; else they are built here.

    Raises:
        RedisUnavailableError: The settings do not say where Redis is.
        AgentDefinitionError: An agent, or a module that should hold some, cannot be used.
        EscalationPolicyError: The escalation policy cannot be used.
    """
    services = services or Services.build(settings)
    console = Console.build(services)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        services.committer.start()
        console.start()
        yield
        await run_in_threadpool(console.stop)
        await services.close()

    app = AgentApi(
        title="Agent service",
        version=__version__,
        summary="Run AI agents in the background and see what they do.",
        openapi_url=None,  # served by `pages`, where it is a route with a name in the metrics
        docs_url=None,  # the usual page fetches scripts from a third party
        redoc_url=None,
        openapi_tags=TAGS,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        lifespan=lifespan,
        middleware=[
            *([Middleware(RequestSpans)] if settings.telemetry else []),
            Middleware(RequestMetrics, metrics=services.metrics),
            Middleware(SecurityHeaders),
            Middleware(UnforeseenErrors),
            Middleware(BodyLimit, limit=settings.max_body_bytes),
        ],
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.services = services
    app.state.console = console
    problems.install(app)
    rest = (tasks, events, profiles, dead_letters, agents, workflows, workers, incidents, alerts, health)
    for module in (*rest, pages):
        app.include_router(module.router)
    app.include_router(console_router())
    return app
