"""Rectangles whose areas are given: squarified tree maps (Bruls, Huizing and van Wijk, 2000)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle by its upper left corner."""

    x: float
    y: float
    width: float
    height: float


def squarify(sizes: Sequence[float], box: Box) -> list[Box]:
    """Fill a rectangle with one rectangle per size, near squares, in rows along the shorter side of what is left.

    Args:
        sizes: positive; areas are in proportion. Largest first gives the squarest.
        box: what is filled.

    Returns:
        One rectangle per size, in the same order.

    Example:
        >>> squarify([2, 1, 1], Box(0, 0, 4, 2))[1]
        Box(x=2.0, y=0, width=2.0, height=1.0)
    """
    scale = box.width * box.height / sum(sizes) if len(sizes) else 0.0
    areas = [size * scale for size in sizes]
    found: list[Box] = []
    while len(found) < len(areas):
        rest = areas[len(found) :]
        count = _row_length(rest, min(box.width, box.height))
        row, box = _cut(rest[:count], box)
        found += row
    return found


def _row_length(areas: Sequence[float], side: float) -> int:
    """As many areas as make the worst shape of the row no worse by the last of them."""
    count = 1
    while count < len(areas) and _worst(areas[: count + 1], side) <= _worst(areas[:count], side):
        count += 1
    return count


def _worst(areas: Sequence[float], side: float) -> float:
    """The largest ratio of sides in a row of these areas along a side."""
    total = sum(areas)
    return max(side**2 * max(areas) / total**2, total**2 / (side**2 * min(areas)))


def _cut(areas: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """Lay a row along the shorter side, and what is left."""
    total = sum(areas)
    row = []
    if box.width >= box.height:
        depth, place = total / box.height, box.y
        for area in areas:
            row.append(Box(box.x, place, depth, area / depth))
            place += area / depth
        return row, Box(box.x + depth, box.y, max(0.0, box.width - depth), box.height)
    depth, place = total / box.width, box.x
    for area in areas:
        row.append(Box(place, box.y, area / depth, depth))
        place += area / depth
    return row, Box(box.x, box.y + depth, box.width, max(0.0, box.height - depth))
