"""Takes a document apart into sections of a size that the other agents can work on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from textwrap import shorten

from agent_service.agents.context import Context
from agent_service.agents.definition import agent
from agent_service.agents.documents.language import detect_language
from agent_service.agents.documents.markup import Piece, outline, read
from agent_service.agents.documents.models import MAX_HEADING_CHARS, MAX_SECTIONS, Document, Plan, Section
from agent_service.agents.documents.prose import words

_SECTION_CHARS = 4_000
"""Longest section of an ordinary document, some 600 words; a very long document gets longer ones."""
_SMALL_CHARS = 400
"""Below this a section joins its neighbour."""
_LEAST_FULL_SECTIONS = 16
"""A document is not cut finer than into twice as many, so that `MAX_SECTIONS` is never reached."""
_TITLE_CHARS = 120
_DECORATION = " \t=-*_~#+|"
_BREAKS = ("\n\n", "\n", ". ", "。", "; ", " ")


@agent("planner", timeout=120, retries=2, version="1", owner="documents")
def plan(document: Document, context: Context) -> Plan:
    """Splits a document into sections of sensible size at its headings and paragraphs."""
    context.progress(0.0, "reading the document")
    with context.tool("split-markdown", chars=len(document.text)) as span:
        pieces, code_blocks = outline(document.text)
        arranged = arrange(pieces)
        span.set_attribute("sections", len(arranged))
    context.progress(0.5, f"{len(arranged)} sections")
    with context.tool("count-words"):
        sections = [_section(index, piece) for index, piece in enumerate(arranged)]
    with context.tool("detect-language") as span:
        language = detect_language(
            " ".join(block.text for section in sections[:5] for block in read(section.text).blocks)
        )
        span.set_attribute("language", language or "unknown")
    total = sum(section.words for section in sections)
    context.log.info("document planned", extra={"sections": len(sections), "words": total, "code_blocks": code_blocks})
    return Plan(
        title=document.title or title_of(pieces),
        language=language,
        sections=sections,
        words=total,
        code_blocks=code_blocks,
    )


def title_of(pieces: list[Piece]) -> str:
    """Return the first heading of the highest level there is, else the first line with words in it."""
    for level in range(1, 7):
        for piece in pieces:
            if piece.level == level and piece.heading:
                return piece.heading
    lines = (line.strip(_DECORATION) for line in pieces[0].text[:_SECTION_CHARS].split("\n"))
    first = next((line for line in lines if words(line)), "")
    blocks = read(first).blocks
    return shorten(blocks[0].text, _TITLE_CHARS, placeholder="…") if blocks else "Untitled"


def arrange(pieces: list[Piece]) -> list[Piece]:
    """Split the long pieces and join the short ones to at most `MAX_SECTIONS`, in order and without losing words."""
    longest = max(_SECTION_CHARS, sum(map(_size, pieces)) // _LEAST_FULL_SECTIONS)
    parts = [part for piece in pieces for part in _split(piece, longest)]
    groups = _group(parts, longest, small=_SMALL_CHARS, keep_levels=True)
    if len(groups) > MAX_SECTIONS:
        groups = _group(parts, longest, small=longest, keep_levels=False)
    return [_join(group) for group in groups]


def _size(piece: Piece) -> int:
    return len(piece.text) + len(piece.source) + 4


def _split(piece: Piece, longest: int) -> Iterator[Piece]:
    """Cut at paragraphs, else at lines, sentences or words, into parts of about the same length."""
    count = -(-len(piece.text) // longest) or 1
    if count == 1:
        yield piece
        return
    size = len(piece.text) // count
    start = 0
    for number in range(1, count + 1):
        end = _break_near(piece.text, start + size * 3 // 4, start + size * 5 // 4) if number < count else None
        suffix = f" ({number})" if number > 1 and piece.heading else ""
        heading = piece.heading[: MAX_HEADING_CHARS - len(suffix)] + suffix
        yield Piece(heading, piece.level, piece.source if number == 1 else "", piece.text[start:end].strip())
        start = end or 0


def _break_near(text: str, low: int, high: int) -> int:
    """Return where to cut between `low` and `high`: at the last of the strongest breaks there are."""
    for mark in _BREAKS:
        at = text.rfind(mark, low, high)
        if at >= 0:
            return at + len(mark)
    inside_word = (at for at in range(high, low, -1) if not text[at - 1 : at + 1].isalnum())
    return next(inside_word, high)


def _group(parts: list[Piece], longest: int, *, small: int, keep_levels: bool) -> list[list[Piece]]:
    """Put neighbours together while one of the two is small and both fit."""
    groups: list[list[Piece]] = []
    size = 0
    for part, following in zip_longest(parts, parts[1:]):
        fits = bool(groups) and min(size, _size(part)) < small and size + _size(part) <= longest
        leads = following is not None and following.level > part.level
        if fits and (not keep_levels or _belongs(part, groups[-1][0], leads=leads, opening=size < small)):
            groups[-1].append(part)
            size += _size(part)
        else:
            groups.append([part])
            size = _size(part)
    return groups


def _belongs(part: Piece, first: Piece, *, leads: bool, opening: bool) -> bool:
    """Whether a section may join the group before: never a higher one, and one that leads others only their opening."""
    return part.level >= first.level and (not leads or (opening and part.level > first.level))


def _join(group: list[Piece]) -> Piece:
    first = group[0]
    # A heading with more to it than its words, such as a link, stays readable in the text.
    texts = [_with_heading(first) if words(first.source) != words(first.heading) and first.source else first.text]
    texts += [_with_heading(piece) for piece in group[1:]]
    return Piece(first.heading, first.level, first.source, "\n\n".join(filter(None, texts)))


def _with_heading(piece: Piece) -> str:
    heading = f"{'#' * piece.level} {piece.source}" if piece.source else ""
    return "\n\n".join(filter(None, (heading, piece.text)))


def _section(index: int, piece: Piece) -> Section:
    count = sum(len(words(block.text)) for block in read(piece.text).blocks)
    return Section(index=index, heading=piece.heading, level=piece.level, text=piece.text, words=count)
