"""Templates and static files: each value that a template shows is escaped, each file has its digest in its URL."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from agent_service import __version__
from agent_service.api.console import formats

PACKAGE: Final = "agent_service.api.console"
STATIC: Final = Path(__file__).parent / "static"
MEDIA_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
LIVE_BLOCK: Final = "content"
"""The block of a template that is rendered anew while somebody looks at the page."""
PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Nothing but this server's own files: no inline script or style, no other host, no frame around it."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a view shows.

    Attributes:
        template: The template's name, without its ending.
        title: The page's title, as text.
        context: What the template reads.
        status: The HTTP status.
        is_live: Whether it is kept up to date while somebody looks at it.
        charted: The stretch of time that its charts show, in Unix seconds, up to now where it has no end; None where
            it has no charts.
    """

    template: str
    title: str
    context: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    is_live: bool = True
    charted: tuple[float, float | None] | None = None


def respond(page: Page, shell: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """Return a whole page.

    Args:
        page: What it shows.
        shell: What the frame around it reads: `viewer`, `path`, `live`, `notice`.
        headers: Further headers.
    """
    text = _environment().get_template(f"{page.template}.html").render({**shell, "title": page.title, **page.context})
    return HTMLResponse(text, page.status, headers={**PAGE_HEADERS, **(headers or {})})


def live_part(page: Page, shell: Mapping[str, Any]) -> str:
    """Return the part of a page that changes."""
    template = _environment().get_template(f"{page.template}.html")
    context = template.new_context({**shell, "title": page.title, **page.context})
    return "".join(template.blocks[LIVE_BLOCK](context))


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file that pages refer to.

    Attributes:
        compressed: Its content by gzip.
        digest: The start of its SHA-256 digest, which changes its URL when the file changes.
    """

    content: bytes
    compressed: bytes
    media_type: str
    digest: str


@cache
def static_files() -> Mapping[str, StaticFile]:
    """Return the files that pages refer to, by their path; they are read once."""
    paths = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.suffix in MEDIA_TYPES}
    return {name: _read(path) for name, path in paths.items()}


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return StaticFile(content, gzip.compress(content, mtime=0), MEDIA_TYPES[path.suffix], digest)


def _static_url(name: str) -> str:
    return f"/console/static/{name}?v={static_files()[name].digest}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(formats.FILTERS)
    environment.globals.update(static=_static_url, version=__version__)
    return environment
