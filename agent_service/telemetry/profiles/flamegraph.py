"""A profile as a flame graph: an SVG that holds no script and no style, so that any content policy lets it through."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.sax.saxutils import escape
from zlib import crc32

from agent_service.telemetry.profiles.measured import Measured, Place, Unit

WIDTH = 1200.0
ROW_HEIGHT = 18
HEAD_HEIGHT = 28
LETTER_WIDTH = 6.7
"""Of the 11 pixel monospace font, about."""
NARROWEST = 0.5
"""Frames that would be narrower, in pixels, are left out."""
FRAMES_LIMIT = 5_000
OWN_COLOURS = ("#e8743b", "#ed8550", "#f09464", "#e5683a", "#f2a377", "#ea7c47")
OTHER_COLOURS = ("#8fb3d9", "#9dbde0", "#abc8e6", "#86acd4", "#b8d1ea", "#94b7db")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class _Node:
    weight: float = 0.0
    children: dict[Place, _Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Box:
    place: Place
    weight: float
    left: float
    depth: int


def flame_graph(measured: Measured, title: str) -> str:
    """Return the drawing: the outermost frame on top, each frame as wide as its share of the whole.

    The title of a frame, shown where the pointer rests on it, says function, file and line, amount, share, and the text
    of the line where the table has it.

    Args:
        measured: The profile.
        title: What stands above it.
    """
    root = _tree(measured)
    boxes = list(_boxes(root, WIDTH / root.weight if root.weight else 0.0))[:FRAMES_LIMIT]
    height = HEAD_HEIGHT + ROW_HEIGHT * (1 + max((box.depth for box in boxes), default=0)) + 4
    texts = {(row.file, row.line): row.source for row in measured.rows if row.source}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height}" width="{WIDTH:.0f}" '
        f'height="{height}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="11">',
        f"<title>{_xml(title)}</title>",
        f'<rect width="{WIDTH:.0f}" height="{height}" fill="#ffffff"/>',
        f'<text x="4" y="18" font-size="13" fill="#222222">{_xml(title)}: '
        f"{_xml(amount(root.weight, measured.unit))}</text>",
        *(_drawn(box, root.weight, measured, texts.get(box.place[1:])) for box in boxes),
        "</svg>",
    ]
    return "\n".join(lines)


def amount(weight: float, unit: Unit) -> str:
    """Return a weight as people read it."""
    if unit is Unit.SECONDS:
        return f"{weight:.3g} s" if weight >= 1 else f"{weight * 1e3:.3g} ms"
    return f"{weight / 2**20:.1f} MiB" if weight >= 2**20 else f"{weight / 2**10:.1f} KiB"


def _tree(measured: Measured) -> _Node:
    root = _Node()
    for stack, weight in measured.stacks.items():
        node = root
        node.weight += weight
        for place in stack:
            node = node.children.setdefault(place, _Node())
            node.weight += weight
    return root


def _boxes(root: _Node, scale: float) -> Iterator[_Box]:
    """Yield the frames that can be seen, level by level, so that a cut takes the deepest."""
    level = [(root, 0.0)]
    depth = 0
    while level:
        below = []
        for node, start in level:
            left = start
            for place, child in sorted(node.children.items()):
                if child.weight * scale >= NARROWEST:
                    yield _Box(place, child.weight, left * scale, depth)
                    below.append((child, left))
                left += child.weight
        level, depth = below, depth + 1


def _drawn(box: _Box, total: float, measured: Measured, source: str | None) -> str:
    place = box.place
    width = box.weight / total * WIDTH
    top = HEAD_HEIGHT + box.depth * ROW_HEIGHT
    where = f"{place.file}:{place.line}" if place.file else "built in"
    title = f"{place.function}  {where}\n{amount(box.weight, measured.unit)}, {box.weight / total:.1%}"
    label = f"{place.function} {where.rpartition('/')[2]}" if place.file else place.function
    room = int((width - 6) / LETTER_WIDTH)
    shown = label if len(label) <= room else label[: room - 1] + "…"
    text = f'<text x="{box.left + 3:.1f}" y="{top + 13}">{_xml(shown)}</text>' if room >= 3 else ""
    return (
        f"<g><title>{_xml(title + (chr(10) + source if source else ''))}</title>"
        f'<rect x="{box.left:.1f}" y="{top}" width="{max(width - 0.4, 0.1):.1f}" height="{ROW_HEIGHT - 1}" '
        f'fill="{_colour(place, is_own=place.file in measured.own_files)}"/>{text}</g>'
    )


def _colour(place: Place, *, is_own: bool) -> str:
    """Return a colour that stays the same for a function: warm for code of one's own, cool for what is installed."""
    shades = OWN_COLOURS if is_own else OTHER_COLOURS
    return shades[crc32(f"{place.function}{place.file}".encode()) % len(shades)]


def _xml(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))
