"""`/runbooks`: what to do about an alert, as pages, so that the link in an alert works without the outside world.

They need no key: whoever is woken by an alert reads them, and they hold no secrets.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from markdown_it import MarkdownIt
from markdown_it.token import Token

from agent_service.api.pages import page
from agent_service.api.services import ServicesDep

router = APIRouter(include_in_schema=False)

_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table")
_SIBLING: Final = re.compile(r"(?:\./)?([A-Za-z][\w-]*)\.md(#.*)?")
"""How a runbook links to another one, as a file beside it."""


@router.get("/runbooks")
def list_runbooks(services: ServicesDep) -> HTMLResponse:
    """List the runbooks."""
    names = services.runbooks.names()
    if not names:
        return page("Runbooks", "<p>There are none: RUNBOOKS_DIR names the folder that holds them.</p>")
    return page("Runbooks", _links(names))


@router.get("/runbooks/{alert}")
def read_runbook(alert: str, services: ServicesDep) -> HTMLResponse:
    """Show a runbook."""
    text = services.runbooks.text(alert)
    if text is None:
        return _unknown(alert, services.runbooks.like(alert))
    title, body = _rendered(text)
    return page(title or html.escape(alert), body)


def _unknown(alert: str, similar: list[str]) -> HTMLResponse:
    near = f"<p>Did you mean one of these?</p>{_links(similar)}" if similar else ""
    body = (
        f"<p>There is no runbook <code>{html.escape(alert[:100])}</code>.</p>{near}"
        '<p><a href="/runbooks">All runbooks</a>. What always helps: the alert\'s description and dashboard, the log '
        "lines and traces of that time, and a note in the incident about what you found.</p>"
    )
    return page("No such runbook", body, HTTPStatus.NOT_FOUND)


def _rendered(text: str) -> tuple[str, str]:
    """Return the title, which is the first heading where the text begins with one, and the rest, both as HTML."""
    tokens = _MARKDOWN.parse(text)
    title = ""
    if len(tokens) > 2 and tokens[0].tag == "h1":
        title = html.escape(tokens[1].content)
        tokens = tokens[3:]
    for token in tokens:
        for child in token.children or ():
            _lead_to_page(child)
    return title, _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})


def _lead_to_page(token: Token) -> None:
    sibling = _SIBLING.fullmatch(str(token.attrGet("href") or "")) if token.type == "link_open" else None
    if sibling:
        token.attrSet("href", f"/runbooks/{sibling[1]}{sibling[2] or ''}")


def _links(names: Iterable[str]) -> str:
    items = (f'<li><a href="/runbooks/{html.escape(name)}">{html.escape(name)}</a></li>' for name in names)
    return f"<ul>{''.join(items)}</ul>"
