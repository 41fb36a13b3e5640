"""Small plots of a code book: use of codes, sizes of groups, shares against chance."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from agentrec.core.types import IntArray
from agentrec.evaluation.report.svg import WIDTH, Axis, axis, compact, element, label, picture, shortened, text_width

HEIGHT, TOP, LEFT, BOTTOM, RIGHT = 170.0, 12.0, 44.0, 40.0, 12.0
ROW, FOOT, NAMES = 30.0, 40.0, 150.0
STEPS = 256  # bars of a histogram of use, at most: more codes are drawn by their means


class Bar(NamedTuple):
    """One row: a name, a number, its chance level (None where it has none), and the number as text."""

    name: str
    value: float
    chance: float | None
    text: str


def usage(counts: IntArray, level: int) -> str:
    """Items per code, most used first, beside the line of even use: (K,) int64 counts -> ``<svg>``."""
    ordered = np.sort(counts)[::-1]
    bars = [float(part.mean()) for part in np.array_split(ordered, min(STEPS, len(ordered)))]
    even = float(counts.mean())
    x = Axis(0, len(bars), LEFT, WIDTH - RIGHT)
    y = axis([0.0, max(bars)], HEIGHT - BOTTOM, TOP)
    parts = [
        element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y.at(value), y2=y.at(value), class_="grid")
        + label(text, LEFT - 6, y.at(value), "end", "soft")
        for value, text in y.ticks()
    ]
    floor = y.at(0)
    outline = " ".join(f"V{y.at(bar):.2f}H{x.at(place + 1):.2f}" for place, bar in enumerate(bars))
    parts.append(element("path", d=f"M{LEFT:g} {floor:.2f}{outline}V{floor:.2f}Z", class_="fill"))
    parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y.at(even), y2=y.at(even), class_="chance"))
    for share in (0.0, 0.5, 1.0):
        anchor = {0.0: "start", 1.0: "end"}.get(share, "middle")
        parts.append(label(f"{round(share * len(counts)):,}", x.at(share * len(bars)), floor + 12, anchor, "soft"))
    parts.append(label("codes, most used first", WIDTH - RIGHT, HEIGHT - 10, "end"))
    parts.append(label(f"level {level}: items per code", LEFT, TOP - 4, class_="head"))
    used = int((counts > 0).sum())
    alt = (
        f"Items per code on level {level}: {used:,} of {len(counts):,} codes are used, at most by {int(ordered[0]):,} "
        f"items; even use would be {even:.1f}."
    )
    return picture(parts, HEIGHT, alt)


def shares(rows: Sequence[Bar], title: str) -> str:
    """Horizontal bars from 0 to 1, with a mark at each chance level."""
    left = 8 + min(NAMES, max(text_width(row.name) for row in rows)) + 10
    scale = Axis(0, 1, left, WIDTH - RIGHT - 8)
    bottom = TOP + 8 + ROW * len(rows)
    parts = [label(title, 8, TOP - 2, class_="head")]
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(element("line", x1=scale.at(value), x2=scale.at(value), y1=TOP + 8, y2=bottom, class_="grid"))
        parts.append(label(f"{value:.0%}", scale.at(value), bottom + 12, "middle", "soft"))
    for place, row in enumerate(rows):
        parts.append(_row(row, scale, TOP + 8 + ROW * (place + 0.5)))
    said = "; ".join(
        f"{row.name} {row.text}" + ("" if row.chance is None else f", {row.chance:.1%} by chance") for row in rows
    )
    return picture(parts, bottom + FOOT - 14, f"{title}: {said}.")


def _row(row: Bar, scale: Axis, y: float) -> str:
    start, end = scale.at(0), scale.at(min(1.0, max(0.0, row.value)))
    title = f"{row.name}: {row.text}" + ("" if row.chance is None else f" ({row.chance:.1%} by chance)")
    parts = [element("title", html.escape(title, quote=False))]
    parts.append(element("rect", x=start, y=y - 8, width=max(0.5, end - start), height=16.0, class_="fill"))
    if row.chance is not None:
        place = scale.at(min(1.0, max(0.0, row.chance)))
        parts.append(element("line", x1=place, x2=place, y1=y - 11, y2=y + 11, class_="chance"))
    room = scale.end - end > text_width(row.text) + 8
    parts.append(label(row.text, end + 6 if room else end - 6, y, "start" if room else "end", "" if room else "on"))
    name = label(shortened(row.name, NAMES), start - 10, y, "end")
    return name + element("g", "".join(parts), class_="mark")


def group_sizes(histogram: Mapping[int, int]) -> str:
    """How many items share all their codes with how many: size of group -> number of groups."""
    bins = _binned(histogram)
    most = max(count for _, count in bins)
    step = (WIDTH - LEFT - RIGHT) / len(bins)
    y = axis([0.0, float(most)], HEIGHT - BOTTOM, TOP + 14)
    floor = y.at(0)
    parts = [label("items by how many share their codes", LEFT, TOP - 4, class_="head")]
    for value, text in y.ticks():
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y.at(value), y2=y.at(value), class_="grid"))
        parts.append(label(text, LEFT - 6, y.at(value), "end", "soft"))
    for place, (name, count) in enumerate(bins):
        x, top = LEFT + step * (place + 0.5), y.at(count)
        parts.append(
            element("rect", x=x - 0.36 * step, y=top, width=0.72 * step, height=max(0.5, floor - top), class_="fill")
        )
        parts.append(label(compact(count), x, top - 9, "middle"))
        parts.append(label(name, x, floor + 12, "middle", "soft"))
    parts.append(label("items with the same codes", WIDTH - RIGHT, HEIGHT - 10, "end"))
    alt = "; ".join(f"{count:,} items in groups of {name}" for name, count in bins)
    return picture(parts, HEIGHT, f"Items by size of the group that shares all codes: {alt}.")


def _binned(histogram: Mapping[int, int]) -> list[tuple[str, int]]:
    """Items in groups of 1, 2, 3, 4, 5–8, 9–16, ...; empty classes between others stay."""
    largest = max(histogram)
    edges = [(1, 1), (2, 2), (3, 3), (4, 4)]
    while edges[-1][1] < largest:
        edges.append((edges[-1][1] + 1, 2 * edges[-1][1]))
    kept = edges[: next(place for place, (_, high) in enumerate(edges) if high >= largest) + 1]
    return [
        (
            str(low) if low == high else f"{low}–{high}",
            sum(size * histogram.get(size, 0) for size in range(low, high + 1)),
        )
        for low, high in kept
    ]
