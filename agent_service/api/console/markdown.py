"""Markdown as HTML that can be shown: HTML in it is text, and its links lead nowhere that runs a script."""

from __future__ import annotations

import re
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

# The parser itself refuses links to javascript:, vbscript:, file: and most of data:.
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
_SIBLING: Final = re.compile(r"(?:\.\.?/|runbooks/)?([A-Za-z][\w-]*)\.md(#.*)?")
"""How a runbook links to another one, as a file beside it, and to a guide, one folder up; and a guide to a runbook."""


def render(text: str) -> tuple[str, Markup]:
    """Return the title as text, which is the first heading where the document begins with one, and the rest as HTML."""
    tokens = _MARKDOWN.parse(text)
    title = ""
    if len(tokens) > 2 and tokens[0].tag == "h1":
        title = tokens[1].content
        tokens = tokens[3:]
    for token in tokens:
        token.attrs.pop("style", None)  # how a table's column is aligned, which the content policy does not let through
        for child in token.children or ():
            _lead_to_page(child)
    return title, Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))  # noqa: S704 - made of escaped text


def _lead_to_page(token: Token) -> None:
    sibling = _SIBLING.fullmatch(str(token.attrGet("href") or "")) if token.type == "link_open" else None
    if sibling:
        token.attrSet("href", f"/runbooks/{sibling[1]}{sibling[2] or ''}")
