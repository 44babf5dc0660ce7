"""Markdown as an outline of sections, and as the prose and the links inside one."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from markdown_it import MarkdownIt
from markdown_it.token import Token

from agent_service.agents.documents.models import MAX_HEADING_CHARS, MAX_LINKS, MAX_TITLE_CHARS, MAX_URL_CHARS, Link
from agent_service.agents.documents.prose import words

_OUTLINE_PARSER = MarkdownIt("commonmark").disable("inline")
# A section carries no code any more, so what is indented in it is prose that somebody indented.
_PROSE_PARSER = MarkdownIt("commonmark").enable("table").disable("code")
# The parser needs about 1.5 kB a line; a text of ever so many tiny lines is read as plain text to bound that.
_MAX_PARSED_LINES = 50_000

_BLANK_LINES = re.compile(r"\n[ \t]*\n")
_TAG = re.compile(r"<[^<>]*>")
_SCRIPT = re.compile(r"\s*<(?:script|style)\b", re.IGNORECASE)
_HREF = re.compile(r"\bhref\s{0,5}=\s{0,5}[\"']?([^\s\"'<>]{1,2000})", re.IGNORECASE)
BARE_URL = re.compile(r"\bhttps?://[^\s<>\"'`]{1,2000}", re.IGNORECASE)
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\ufeff]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{1,30}:", re.IGNORECASE)
_SAFE_SCHEMES = ("http:", "https:", "mailto:", "ftp:")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a document from one heading to the next.

    Attributes:
        heading: The heading as plain text; empty for what stands before the first.
        level: Depth of the heading, 1 to 6; 0 without one.
        source: The heading as Markdown wrote it, in one line.
        text: What follows the heading, as it was written, without code blocks.
    """

    heading: str
    level: int
    source: str
    text: str


class BlockKind(Enum):
    """What a run of prose is part of."""

    PARAGRAPH = "paragraph"
    HEADING = "heading"
    CELL = "cell"


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, heading or table cell as plain text on one line."""

    kind: BlockKind
    text: str


@dataclass(slots=True)
class Reading:
    """The plain text of some Markdown, and where it points."""

    blocks: list[Block] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    def add(self, kind: BlockKind, text: str) -> None:
        """Add a block, unless it has no words."""
        plain = " ".join(text.split())
        if words(plain):
            self.blocks.append(Block(kind, plain))

    def link(self, url: str, text: str = "") -> None:
        """Add a link that leads out of the document and can be followed safely, once."""
        # Browsers skip these inside a scheme, so "java script:" must not pass for a relative address.
        url = _INVISIBLE.sub("", url)
        scheme = _SCHEME.match(url)
        unsafe = scheme is not None and scheme[0].lower() not in _SAFE_SCHEMES
        if not url or url.startswith("#") or unsafe or len(url) > MAX_URL_CHARS or len(self.links) == MAX_LINKS:
            return
        if all(link.url != url for link in self.links):
            self.links.append(Link(text=" ".join(text.split())[:MAX_TITLE_CHARS], url=url))


def outline(document: str) -> tuple[list[Piece], int]:
    """Split a document at its headings.

    Returns:
        The pieces, at least one, and the number of code blocks that were left out of them.
    """
    text = document.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if len(lines) > _MAX_PARSED_LINES:
        return [Piece("", 0, "", text.strip())], 0
    tokens = _OUTLINE_PARSER.parse(text)
    code = list(_code_spans(tokens, lines))
    for start, end in code:
        lines[start:end] = [""] * (end - start)
    pieces = []
    heading, level, source, start = "", 0, "", 0
    for next_level, content, (first, last) in _headings(tokens):
        pieces.append(Piece(heading, level, source, "\n".join(lines[start:first]).strip()))
        heading, level, source, start = _plain(content), next_level, content, last
    pieces.append(Piece(heading, level, source, "\n".join(lines[start:]).strip()))
    return [piece for piece in pieces if piece.source or piece.text] or pieces[:1], len(code)


def _code_spans(tokens: list[Token], lines: list[str]) -> Iterator[tuple[int, int]]:
    # Plain text indents for looks: indentation means code only where # headings or fences show that this is Markdown.
    markdown = any(token.type in ("heading_open", "fence") and token.markup[0] in "#`~" for token in tokens)
    for token in tokens:
        if token.map is None:
            continue
        start, end = token.map
        # Without its closing line a fence would swallow the rest of the document.
        closed = token.type == "fence" and end - start > 1 and _closes(lines[end - 1], token.markup)
        if closed or (token.type == "code_block" and markdown):
            yield start, end


def _closes(line: str, fence: str) -> bool:
    bare = line.strip("> \t")
    return bare.startswith(fence) and not bare.strip(fence[0])


def _headings(tokens: list[Token]) -> Iterator[tuple[int, str, tuple[int, int]]]:
    """Yield level, source and lines of each heading; one of several lines or of a paragraph's length is text."""
    for at, token in enumerate(tokens):
        if token.type != "heading_open" or token.level or token.map is None:
            continue
        content = tokens[at + 1].content
        if "\n" not in content and len(content) <= MAX_HEADING_CHARS:
            yield int(token.tag[1]), content, (token.map[0], token.map[1])


def _plain(source: str) -> str:
    reading = Reading()
    children = _PROSE_PARSER.parseInline(source)[0].children or []
    return " ".join(_inline_text(children, reading).split())[:MAX_HEADING_CHARS]


def read(source: str) -> Reading:
    """Return the prose and the links of some Markdown or plain text, code blocks left out."""
    reading = Reading()
    text = source.replace("\r\n", "\n").replace("\r", "\n")
    if text.count("\n") > _MAX_PARSED_LINES:
        for paragraph in _BLANK_LINES.split(text):
            _find_bare_urls(paragraph, reading)
            reading.add(BlockKind.PARAGRAPH, paragraph)
        return reading
    kind = BlockKind.PARAGRAPH
    for token in _PROSE_PARSER.parse(text):
        if token.type in _KINDS:
            kind = _KINDS[token.type]
        elif token.type == "inline":
            reading.add(kind, _inline_text(token.children or [], reading))
        elif token.type == "html_block":
            reading.add(BlockKind.PARAGRAPH, _html_text(token.content, reading))
    return reading


_KINDS = {
    "paragraph_open": BlockKind.PARAGRAPH,
    "heading_open": BlockKind.HEADING,
    "th_open": BlockKind.CELL,
    "td_open": BlockKind.CELL,
}


def _inline_text(children: Iterable[Token], reading: Reading) -> str:
    """Return the visible text, and add the links to `reading`."""
    parts: list[str] = []
    url, label = "", 0
    for token in children:
        if token.type == "link_open":
            url, label = str(token.attrs.get("href", "")), len(parts)
        elif token.type == "link_close":
            reading.link(url, "".join(parts[label:]))
            url = ""
        elif token.type == "image":
            parts.append(f" {token.content} " if url else " ")
        elif token.type == "html_inline":
            parts.append(_html_text(token.content, reading))
        elif token.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        else:
            parts.append(token.content)
    text = "".join(parts)
    _find_bare_urls(text, reading)
    return text


def _find_bare_urls(text: str, reading: Reading) -> None:
    for match in BARE_URL.finditer(text):
        closing = "" if "(" in match[0] else ")"
        reading.link(match[0].rstrip(".,;:!?*_]}'\"" + closing))


def _html_text(source: str, reading: Reading) -> str:
    for match in _HREF.finditer(source):
        reading.link(html.unescape(match[1]))
    if _SCRIPT.match(source):
        return ""
    return html.unescape(_TAG.sub(" ", _without_comments(source)))


def _without_comments(source: str) -> str:
    kept = []
    start = 0
    while (opening := source.find("<!--", start)) >= 0:
        kept.append(source[start:opening])
        closing = source.find("-->", opening)
        start = closing + 3 if closing >= 0 else len(source)
    kept.append(source[start:])
    return "".join(kept)
