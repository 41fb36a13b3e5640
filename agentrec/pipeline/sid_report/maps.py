"""The tree map as SVG: areas are items, tiles are first codes, the pieces inside them second codes.

Drawn twice, for a wide page and for a phone, where only first codes are large enough to be seen and touched. A tile is
a link to what the page says about its code; elements carry classes, and the page decides on colours.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentrec.evaluation.report.svg import element, label, shortened, text_width
from agentrec.pipeline.sid_report.tree import Node
from agentrec.pipeline.sid_report.treemap import Box, squarify

SHOWN = 400  # first codes in the map; what is beyond them is one tile
PER_TILE = 3200.0  # area of an average tile, in user units
HEADED = (150.0, 110.0)  # a tile at least this large has a heading, and names on the pieces below it
HEAD = 19.0
SMALLEST = 2  # items of a piece; single items are one piece together
TITLE = 60  # letters of an example
BOLD = 1.12  # how much wider bold letters are


@dataclass(frozen=True)
class Canvas:
    """How a map is drawn: its width, the limits of its height, the size of letters, whether tiles show their pieces."""

    width: float
    heights: tuple[float, float]
    font: float
    pieces: bool


WIDE = Canvas(1040.0, (440.0, 960.0), 12.0, pieces=True)
NARROW = Canvas(358.0, (360.0, 1100.0), 11.0, pieces=False)


def tree_map(tree: Sequence[Node], colours: Mapping[str, int], canvas: Canvas = WIDE) -> str:
    """Draw first codes, and inside them second codes.

    Args:
        tree: first codes, largest first.
        colours: category -> number of a colour; others are neutral.
        canvas: how.

    Returns:
        An ``<svg>`` element; its tiles link to ``#`` and `Node.slug`.
    """
    shown, rest = tree[:SHOWN], sum(node.size for node in tree[SHOWN:])
    height = min(max(len(shown) * PER_TILE / canvas.width, canvas.heights[0]), canvas.heights[1])
    sizes = [node.size for node in shown] + ([rest] if rest else [])
    boxes = squarify(sizes, Box(0, 0, canvas.width, height))
    total = sum(node.size for node in tree)
    parts = [_tile(node, box, colours, canvas, total) for node, box in zip(shown, boxes, strict=False)]
    if rest:
        said = f"{len(tree) - SHOWN:,} smaller first codes: {_items(rest, total)}"
        parts.append(element("g", _title(said) + _rect(boxes[-1], "tile c0") + _text(said, "", boxes[-1], canvas.font)))
    described = f"Tree map of {len(tree):,} first codes of {total:,} items; the list below says the same in words."
    return element(
        "svg",
        "".join(parts),
        viewBox=f"0 0 {canvas.width:g} {height:.0f}",
        role="group",
        aria_label=described,
        font_size=canvas.font,
    )


def _tile(node: Node, box: Box, colours: Mapping[str, int], canvas: Canvas, total: int) -> str:
    headed = canvas.pieces and box.width >= HEADED[0] and box.height >= HEADED[1] and len(node.children) > 1
    parts = [_title(said(node, total)), _rect(box, f"tile c{colours.get(node.kind, 0)}")]
    if canvas.pieces:
        inner = Box(box.x, box.y + HEAD, box.width, box.height - HEAD) if headed else box
        parts.append(_pieces(node, inner, canvas.font, total, named=headed))
    where = Box(box.x, box.y, box.width, HEAD + 2) if headed else box
    detail = "" if headed else node.name.detail
    parts.append(_rect(box, "rim"))
    parts.append(_text(node.name.label or node.token, detail, where, canvas.font))
    link = {"href": f"#{node.slug}", "aria_label": said(node, total), "class_": "node"}
    return element("a", "".join(parts), **link)


def _pieces(node: Node, box: Box, font: float, total: int, *, named: bool) -> str:
    """The second codes of a tile; those of single items are one piece."""
    several = [child for child in node.children if child.size >= SMALLEST]
    single = node.size - sum(child.size for child in several)
    sizes = [child.size for child in several] + ([single] if single else [])
    if len(sizes) < 2:
        return ""
    parts = []
    for child, piece in zip(several, squarify(sizes, box), strict=False):
        drawn = _title(said(child, total)) + _rect(piece, "piece")
        if named:
            drawn += _text("", child.name.detail or child.name.label or child.token, piece, font - 1)
        parts.append(element("g", drawn))
    return "".join(parts)


def said(node: Node, total: int) -> str:
    """A node in a sentence: its codes, what it is, how many items, examples."""
    named = " " + ", ".join(filter(None, (node.name.label, node.name.detail))) if node.name.label else ""
    examples = "; ".join(_cut(title) for title in node.name.examples[:3])
    return f"{node.token}{named}: {_items(node.size, total)}. {examples}"


def _items(count: int, total: int) -> str:
    return f"{count:,} item{'' if count == 1 else 's'} ({count / total:.1%})"


def _cut(title: str) -> str:
    return title if len(title) <= TITLE else f"{title[: TITLE - 1].rstrip()}…"


def _title(text: str) -> str:
    return element("title", html.escape(text, quote=False))


def _rect(box: Box, class_: str) -> str:
    return element("rect", x=box.x, y=box.y, width=max(0.0, box.width), height=max(0.0, box.height), class_=class_)


def _text(heading: str, detail: str, box: Box, font: float) -> str:
    """As many lines as fit into the box, the heading's first; nothing where not even a short word does."""
    room, width = max(0, math.floor((box.height - 4) / (font + 1))), box.width - 8
    if not room or width < 2.4 * font:
        return ""
    lines = [(line, True) for line in wrap(heading, width, BOLD * font)]
    lines += [(line, False) for line in wrap(detail, width, font)]
    kept = lines[:room]
    if len(kept) < len(lines) and kept[-1][1]:
        kept[-1] = (f"{shortened(kept[-1][0], width - font, BOLD * font).rstrip('…')}…", True)
    elif not kept[-1][1]:
        kept[-1] = (kept[-1][0].rstrip(","), False)
    rows = [
        label(line, box.x + 4, box.y + 3 + (font + 1) * (place + 0.5), class_="strong" if strong else "")
        for place, (line, strong) in enumerate(kept)
    ]
    return element("g", "".join(rows), font_size=font)


def wrap(text: str, width: float, font: float) -> list[str]:
    """Lines of a text that are no wider than ``width``; words that are too long are shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, font) <= width:
            lines[-1] = longer
        else:
            lines.append(shortened(word, width, font))
    return lines
