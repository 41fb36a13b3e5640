"""Dots with intervals: one row per system, one panel per metric, and groups of rows for slices.

SVG text for a web page, without any plotting library: it is small, equal for equal input, and reads in both the light
and the dark colours of the page.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

from agentrec.evaluation.report.svg import WIDTH, Axis, axis, element, label, picture, shortened, text_width
from agentrec.evaluation.report.wording import DASH, decimals, direction, interval, is_number, number
from agentrec.evaluation.result import Estimate

ROW, HEADING, FOOT = 22.0, 26.0, 40.0
NAMES = 128.0  # at most so wide
RIGHT = 14.0


class Row(NamedTuple):
    """One system: its number, whether it is the best, and its mean at every seed."""

    name: str
    estimate: Estimate
    best: bool = False
    seeds: Sequence[float] = ()


class Group(NamedTuple):
    """Rows under a heading, which may be empty."""

    heading: str
    rows: Sequence[Row]


def dots(groups: Sequence[Group], metric: str, better: str = "neither") -> str:
    """Draw dots with intervals on one axis.

    Args:
        groups: from top to bottom.
        metric: what is drawn.
        better: which direction is an improvement.

    Returns:
        An ``<svg>`` element.
    """
    rows = [row for group in groups for row in group.rows]
    left = 8 + min(NAMES, max((text_width(row.name) for row in rows), default=0.0)) + 10
    values = [value for row in rows for value in (*row.estimate[:3], *row.seeds) if is_number(value)]
    scale = axis([value for value in values if value is not None], left, WIDTH - RIGHT)
    height = sum((HEADING if group.heading else 4.0) + ROW * len(group.rows) for group in groups)
    parts = [_frame(scale, height, metric, better)]
    y = 0.0
    for group in groups:
        if group.heading:
            parts.append(label(shortened(group.heading, WIDTH - 16), 8, y + HEADING / 2 + 2, class_="head"))
        y += HEADING if group.heading else 4.0
        for row in group.rows:
            parts.append(_row(row, scale, y + ROW / 2))
            y += ROW
    return picture(parts, height + FOOT, _alt(groups, metric))


def _frame(scale: Axis, height: float, metric: str, better: str) -> str:
    """Grid lines, tick labels and the name of the axis."""
    parts = []
    for value, text in scale.ticks():
        x = scale.at(value)
        strong = " zero" if value == 0 else ""
        parts.append(element("line", x1=x, x2=x, y1=4.0, y2=height + 4, class_=f"grid{strong}"))
        parts.append(label(text, x, height + 14, "middle", "soft"))
    name = f"{metric}, {direction(better)}" if direction(better) else metric
    parts.append(label(shortened(name, WIDTH - 16), WIDTH - RIGHT, height + 32, "end"))
    return "".join(parts)


def _row(row: Row, scale: Axis, y: float) -> str:
    name = label(shortened(row.name, NAMES), scale.start - 10, y, "end", "best" if row.best else "")
    mean, low, high, _ = row.estimate
    if mean is None or not is_number(mean):
        return name + label(f"{DASH} not defined", scale.start + 4, y, class_="soft")
    marks = [element("circle", cx=scale.at(seed), cy=y, r=2.5, class_="seed") for seed in row.seeds if is_number(seed)]
    if low is not None and high is not None and is_number(low) and is_number(high):
        marks.append(element("line", x1=scale.at(low), x2=scale.at(high), y1=y, y2=y, class_="reach"))
    marks.append(element("circle", cx=scale.at(mean), cy=y, r=4.5, class_="dot"))
    kind = "mark best" if row.best else "mark"
    return name + element("g", element("title", html.escape(_said(row), quote=False)) + "".join(marks), class_=kind)


def _said(row: Row) -> str:
    digits = decimals(row.estimate[:3])
    limits = interval(row.estimate, digits)
    return f"{row.name}: {number(row.estimate.mean, digits)}" + (f" ({limits})" if limits else "")


def _alt(groups: Sequence[Group], metric: str) -> str:
    said = [
        (f"{group.heading}: " if group.heading else "") + "; ".join(_said(row) for row in group.rows)
        for group in groups
    ]
    return f"{metric} per system with 95% intervals. {'. '.join(said)}."
