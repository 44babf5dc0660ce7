"""What describes the API to a person: the list of operations, and what a problem means.

Server-rendered, without scripts and without anything from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from agent_service.api import problems
from agent_service.api.problems import KINDS, ProblemError

router = APIRouter(include_in_schema=False)

_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem}code{font-family:ui-monospace,monospace}pre{overflow-x:auto;padding:.5rem;border:1px solid gray}"
    "td,th{padding:.15rem 1rem .15rem 0;vertical-align:top;text-align:left}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'"
}


@router.get("/openapi.json")
async def openapi_document(request: Request) -> JSONResponse:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def operations_page(request: Request) -> HTMLResponse:
    """List the operations of the OpenAPI document."""
    document = request.app.openapi()
    return page(
        "API",
        "<p>Send a key as <code>Authorization: Bearer …</code> or <code>X-API-Key: …</code>. "
        'Bodies, answers and examples are in <a href="/openapi.json">/openapi.json</a>.</p>'
        + "".join(_sections(document)),
    )


@router.get("/problems/{slug}")
async def problem_page(slug: str) -> PlainTextResponse:
    """Explain a kind of problem."""
    kind = KINDS.get(slug)
    if kind is None:
        raise ProblemError(problems.PROBLEM_NOT_FOUND, f"there is no problem {slug!r}; there are {', '.join(KINDS)}")
    return PlainTextResponse(f"{kind.title} ({kind.status})\n\nCause: {kind.cause}\nWhat to do: {kind.remedy}\n")


def page(title: str, body: str, status: int = 200) -> HTMLResponse:
    """Return a page.

    Args:
        title: Its title, as HTML.
        body: What is below, as HTML.
        status: The HTTP status.
    """
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>{title}</h1>{body}</html>',
        status,
        headers=_PAGE_HEADERS,
    )


def _sections(document: dict[str, Any]) -> Iterator[str]:
    for tag in document["tags"]:
        rows = "".join(_rows(document, tag["name"]))
        yield f"<h2>{html.escape(tag['name'])}</h2><p>{html.escape(tag['description'])}</p><table>{rows}</table>"


def _rows(document: dict[str, Any], tag: str) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if tag in operation["tags"]:
                yield (
                    f"<tr><td><code>{method.upper()} {html.escape(path)}</code></td>"
                    f"<td>{html.escape(operation['summary'])}</td></tr>"
                )
