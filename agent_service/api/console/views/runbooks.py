"""`/runbooks`: what to do about an alert, as pages, so that the link in an alert works without the outside world.

They need no key: whoever is woken by an alert reads them, and they hold no secrets.
"""

from __future__ import annotations

from http import HTTPStatus

from agent_service.api.console.markdown import render
from agent_service.api.console.rendering import Page
from agent_service.api.console.routing import Look


def runbooks(look: Look) -> Page:
    """List the runbooks."""
    names = look.services.runbooks.names()
    return Page("runbooks", "Runbooks", {"names": names}, is_live=False)


def runbook(look: Look) -> Page:
    """Show a runbook."""
    alert = look.path["alert"]
    text = look.services.runbooks.text(alert)
    if text is None:
        context = {"alert": alert[:100], "similar": look.services.runbooks.like(alert)}
        return Page("no_runbook", "No such runbook", context, HTTPStatus.NOT_FOUND, is_live=False)
    title, body = render(text)
    return Page("runbook", title or alert, {"body": body}, is_live=False)
