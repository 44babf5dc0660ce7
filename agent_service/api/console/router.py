"""Which path shows which page, and which form does what."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from agent_service.api import problems
from agent_service.api.console.live import add_live
from agent_service.api.console.rendering import static_files
from agent_service.api.console.routing import SIGN_IN_PATH, PageRouter, View
from agent_service.api.console.views import (
    agents,
    dead_letters,
    incidents,
    overview,
    profile,
    runbooks,
    signing,
    submit,
    task,
    tasks,
    workers,
    workflow,
)
from agent_service.api.problems import ProblemError

_STATIC_HEADERS: Final = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}

_LIVE: Final[dict[str, View]] = {
    "/": overview.overview,
    "/console/tasks": tasks.task_list,
    "/console/tasks/{task_id}": task.task,
    "/console/workflows/{workflow_id}": workflow.workflow,
    "/console/agents": agents.agents,
    "/console/agents/{name}": agents.agent,
    "/console/workers": workers.workers,
    "/console/dead-letters": dead_letters.dead_letters,
    "/console/incidents": incidents.incidents,
    "/console/incidents/{incident_id}": incidents.incident,
}
"""The pages that are kept up to date."""


def console_router() -> APIRouter:
    """Return all routes of the console."""
    router = PageRouter()
    for path, view in _LIVE.items():
        router.page(path, view)
        add_live(router, path, view)
    router.page("/console/find", tasks.find)
    router.page("/console/submit", submit.submit_form)
    router.page("/console/incidents/{incident_id}/review", incidents.review)
    router.page("/console/profiles/{profile_id}", profile.profile)
    router.page("/console/profiles/{profile_id}/flamegraph.svg", profile.picture)
    router.page("/console/profiles/{profile_id}/speedscope.json", profile.speedscope_file)
    router.page("/runbooks", runbooks.runbooks, is_open=True)
    router.page("/runbooks/{alert}", runbooks.runbook, is_open=True)
    router.action("/console/submit", submit.submit)
    router.action("/console/tasks/{task_id}/cancel", task.cancel)
    router.action("/console/tasks/{task_id}/retry", task.retry)
    router.action("/console/workflows/{workflow_id}/cancel", workflow.cancel_workflow)
    router.action("/console/workers/suspend", workers.suspend)
    router.action("/console/workers/resume", workers.resume)
    router.action("/console/workers/profile", profile.profile_worker)
    router.action("/console/agents/{name}/profile", profile.profile_agent)
    router.action("/console/dead-letters", dead_letters.change)
    router.action("/console/incidents/{incident_id}/step", incidents.take_step)
    router.action("/console/incidents/{incident_id}/note", incidents.add_note)
    router.action("/console/incidents/{incident_id}/owner", incidents.hand_over)
    router.add_api_route(SIGN_IN_PATH, signing.show_sign_in, methods=["GET"], response_model=None)
    router.add_api_route(SIGN_IN_PATH, signing.sign_in, methods=["POST"], response_model=None)
    router.add_api_route("/console/sign-out", signing.sign_out, methods=["POST"], response_model=None)
    router.add_api_route("/console/session", signing.tell_session, methods=["GET"], response_model=None)
    router.add_api_route("/console/static/{name:path}", static_file, methods=["GET"], response_model=None)
    return router


async def static_file(request: Request) -> Response:
    """Serve one of the files that were there at the start; the name leads nowhere else.

    Raises:
        ProblemError: There is none of that name.
    """
    file = static_files().get(request.path_params["name"])
    if file is None:
        raise ProblemError(problems.NOT_FOUND, "there is no such file")
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers = {**_STATIC_HEADERS, "Content-Encoding": "gzip"}
        return Response(file.compressed, media_type=file.media_type, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=_STATIC_HEADERS)
