"""What quality costs: a metric against a cost, and the systems that no other beats in both."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from agentrec.evaluation.report.svg import WIDTH, Axis, axis, element, is_wide, label, picture, shortened, text_width
from agentrec.evaluation.report.view import estimate_of
from agentrec.evaluation.report.wording import amount, cost_label, decimals, direction, is_number, number
from agentrec.evaluation.result import Result

HEIGHT, TOP, LEFT, BOTTOM, RIGHT = 290.0, 30.0, 44.0, 44.0, 14.0
LINE = 13.0  # height of a label
NAME = 120.0
RATE = "_per_second"  # more of it is better, and it says the same as seconds
TAILS = ("p90", "p95", "p99")
PLOTS = 6


class Point(NamedTuple):
    """One system."""

    name: str
    cost: float
    value: float


class Box(NamedTuple):
    """What a label or a dot covers."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)


def frontier(points: Sequence[Point], better: str = "higher") -> list[Point]:
    """The points that no other point equals or beats in both cost and value, unless it is the same in both.

    Args:
        points: in any order.
        better: ``"higher"`` or ``"lower"`` value; a lower cost is always better.

    Returns:
        By rising cost.
    """
    side = -1 if better == "lower" else 1
    ordered = sorted(points, key=lambda point: (point.cost, -side * point.value, point.name))
    kept: list[Point] = []
    for point in ordered:
        same = bool(kept) and (point.cost, point.value) == (kept[-1].cost, kept[-1].value)
        if not kept or same or side * point.value > side * kept[-1].value:
            kept.append(point)
    return kept


def plotted_costs(result: Result) -> list[str]:
    """Costs that all systems have, without rates, high percentiles and those that are the same for all."""
    known = [result.costs.get(name, {}) for name in result.systems]
    if len(known) < 2:
        return []
    names = [
        name
        for name in known[0]
        if not name.endswith(RATE)
        and not name.endswith(TAILS)
        and all(is_number(costs.get(name)) for costs in known)
        and len({costs[name] for costs in known}) > 1
    ]
    return names[:PLOTS]


def points_of(result: Result, metric: str, cost: str) -> list[Point]:
    """Systems with a value and a cost."""
    found = []
    for name in result.systems:
        value, spent = estimate_of(result.systems, name, metric).mean, result.costs.get(name, {}).get(cost)
        if value is not None and spent is not None and is_number(value) and is_number(spent):
            found.append(Point(name, float(spent), value))
    return found


def pareto(points: Sequence[Point], metric: str, cost: str, better: str = "higher") -> str:
    """Draw a metric against a cost, with names and the frontier (none where neither direction is better).

    Args:
        points: one per system, two at least.
        metric: on the upright axis.
        cost: on the other one, logarithmic where its range is wide.
        better: which direction of the metric is an improvement.

    Returns:
        An ``<svg>`` element.
    """
    costs = [point.cost for point in points]
    x = axis(costs, LEFT, WIDTH - RIGHT, log=is_wide(costs))
    y = axis([point.value for point in points], HEIGHT - BOTTOM, TOP)
    best = [] if better == "neither" else frontier(points, better)
    parts = [_frame(x, y, metric, cost, better)]
    if best:
        parts.append(element("path", d=_steps(best, x, y), class_="frontier"))
    places = _labels(points, x, y)
    for point in points:
        parts.append(_point(point, (x.at(point.cost), y.at(point.value)), places[point.name], on=point in best))
    return picture(parts, HEIGHT, _alt(points, best, metric, cost))


def _frame(x: Axis, y: Axis, metric: str, cost: str, better: str) -> str:
    parts = []
    for value, text in x.ticks():
        place = x.at(value)
        parts.append(element("line", x1=place, x2=place, y1=TOP, y2=HEIGHT - BOTTOM, class_="grid"))
        parts.append(label(text, place, HEIGHT - BOTTOM + 12, "middle", "soft"))
    for value, text in y.ticks():
        place = y.at(value)
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=place, y2=place, class_="grid"))
        parts.append(label(text, LEFT - 6, place, "end", "soft"))
    upright = f"{metric}, {direction(better)}" if direction(better) else metric
    parts.append(label(shortened(upright, WIDTH - 16), 8, 12))
    along = f"{cost_label(cost)}{', log scale' if x.log else ''}"
    parts.append(label(shortened(along, WIDTH - 16), WIDTH - RIGHT, HEIGHT - 10, "end"))
    return "".join(parts)


def _steps(best: Sequence[Point], x: Axis, y: Axis) -> str:
    """The border of what can be had: at each cost, the best value that costs no more."""
    path = f"M{x.at(best[0].cost):.2f} {y.start:.2f}V{y.at(best[0].value):.2f}"
    for point in best[1:]:
        path += f"H{x.at(point.cost):.2f}V{y.at(point.value):.2f}"
    return f"{path}H{x.end:.2f}"


def _point(point: Point, dot: tuple[float, float], place: Box, *, on: bool) -> str:
    said = f"{point.name}: {number(point.value, decimals([point.value]))} for {amount(point.cost)}"
    middle = ((place.left + place.right) / 2, (place.top + place.bottom) / 2)
    parts = [element("title", html.escape(said, quote=False))]
    near = Box(dot[0] - 12, dot[1] - 12, dot[0] + 12, dot[1] + 12)
    if not near.overlap(place):
        end = min(max(dot[0], place.left), place.right), place.top if place.top > dot[1] else place.bottom
        parts.append(element("line", x1=dot[0], y1=dot[1], x2=end[0], y2=end[1], class_="leader"))
    parts.append(element("circle", cx=dot[0], cy=dot[1], r=5.0, class_="dot"))
    parts.append(label(shortened(point.name, NAME), middle[0], middle[1], "middle"))
    return element("g", "".join(parts), class_="mark best" if on else "mark off")


def _labels(points: Sequence[Point], x: Axis, y: Axis) -> Mapping[str, Box]:
    """A place for every name: the nearest to its dot that covers no dot and no other name, or the least covered."""
    dots = [Box(x.at(p.cost) - 6, y.at(p.value) - 6, x.at(p.cost) + 6, y.at(p.value) + 6) for p in points]
    taken: list[Box] = []
    places = {}
    for point in points:
        width = text_width(shortened(point.name, NAME))
        options = list(_options(x.at(point.cost), y.at(point.value), width))
        covered = [sum(option.overlap(other) for other in (*dots, *taken)) + _outside(option) for option in options]
        chosen = options[covered.index(min(covered))]
        taken.append(chosen)
        places[point.name] = chosen
    return places


def _options(x: float, y: float, width: float) -> Iterator[Box]:
    for distance in (9.0, 22.0, 36.0, 50.0, 66.0, 82.0):
        for across, down in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
            middle_x = x + across * (distance + width / 2)
            middle_y = y + down * (distance + LINE / 2 - 2)
            half = width / 2, LINE / 2
            yield Box(middle_x - half[0], middle_y - half[1], middle_x + half[0], middle_y + half[1])


def _outside(box: Box) -> float:
    """How much of a label leaves the frame, made to weigh more than any overlap."""
    inside = Box(4, TOP - 8, WIDTH - 4, HEIGHT - BOTTOM)
    area = (box.right - box.left) * (box.bottom - box.top)
    return 100 * (area - box.overlap(inside))


def _alt(points: Sequence[Point], best: Sequence[Point], metric: str, cost: str) -> str:
    said = "; ".join(
        f"{point.name}: {number(point.value, decimals([point.value]))} for {amount(point.cost)}" for point in points
    )
    ends = f" On the frontier: {', '.join(point.name for point in best)}." if best else ""
    return f"{metric} against {cost_label(cost)}. {said}.{ends}"
