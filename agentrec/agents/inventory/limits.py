"""A budget for orders and a capacity for stock, shared by all products: what is cut where they do not suffice.

Units are given out one by one to the product where the next one is worth most per unit of what is scarce:
``(p + h) P(D > x) - h`` at a stock of x, with normal demand D of the lead time and one period more. No product gets
more than was proposed. Where all products weigh the same, no other allocation is worth more under that demand.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from agentrec.agents.inventory.facts import RECENT, coming, seen
from agentrec.core.types import JSON

STEPS = 5000  # units are given out in so many steps at most


class Shared(NamedTuple):
    """What all products share; None for no limit.

    ``budget`` limits unit costs times orders of a period; ``capacity`` limits volumes times what is in stock, coming
    and ordered, overdue orders left out.
    """

    budget: float | None = None
    capacity: float | None = None


def within(orders: Sequence[int], facts: Sequence[JSON], shared: Shared) -> tuple[list[int], list[list[str]]]:
    """Orders that keep the limits, and notes on what was cut, product by product.

    Args:
        orders: proposed, one per product.
        facts: of each product, with ``unit_cost`` and ``volume``.
        shared: the limits.
    """
    kept = list(orders)
    notes: list[list[str]] = [[] for _ in orders]
    for name, limit, weights in _limits(facts, shared):
        given = _given_out(kept, facts, weights, limit)
        for place, (before, after) in enumerate(zip(kept, given, strict=True)):
            if after < before:
                notes[place].append(f"cut from {before} to {after} by the {name}")
        kept = given
    return kept, notes


def excess(orders: Sequence[int], facts: Sequence[JSON], shared: Shared) -> str:
    """Which limit orders break, in words; empty for none."""
    for name, limit, weights in _limits(facts, shared):
        taken = sum(weight * order for weight, order in zip(weights, orders, strict=True))
        if taken > limit + 1e-9:
            return f"the orders take {taken:g} of the {name}, which leaves {limit:g}"
    return ""


def _limits(facts: Sequence[JSON], shared: Shared) -> list[tuple[str, float, list[float]]]:
    """Name, what is left, and the weight of a unit of each product."""
    found = []
    if shared.budget is not None:
        found.append(("budget", shared.budget, [part["unit_cost"] for part in facts]))
    if shared.capacity is not None:
        taken = sum(part["volume"] * (part["on_hand"] + coming(part)) for part in facts)
        found.append(("capacity", max(0.0, shared.capacity - taken), [part["volume"] for part in facts]))
    return found


def _given_out(orders: list[int], facts: Sequence[JSON], weights: Sequence[float], limit: float) -> list[int]:
    if sum(weight * order for weight, order in zip(weights, orders, strict=True)) <= limit + 1e-9:
        return orders
    given = [order if weight == 0 else 0 for order, weight in zip(orders, weights, strict=True)]
    step = max(1, sum(orders) // STEPS)
    left = limit
    heap = [
        (-worth(facts[place], 1) / weights[place], place) for place, order in enumerate(orders) if order > given[place]
    ]
    heapq.heapify(heap)
    while heap:
        _, place = heapq.heappop(heap)
        size = min(step, orders[place] - given[place], int((left + 1e-9) / weights[place]))
        if size < 1:
            continue
        given[place] += size
        left -= size * weights[place]
        if given[place] < orders[place]:
            heapq.heappush(heap, (-worth(facts[place], given[place] + 1) / weights[place], place))
    return given


def worth(facts: JSON, unit: int) -> float:
    """Expected worth of the so-manieth unit of an order, under normal demand with recent mean and deviation."""
    known = np.array(seen(facts)[-RECENT:], np.float64)
    cover = facts["promised"] + 1
    mean = cover * float(known.mean())
    deviation = max(np.sqrt(cover) * float(known.std(ddof=1)) if len(known) > 1 else 0.0, 0.5)
    stock = facts["on_hand"] + coming(facts) + unit - 0.5
    short = float(ndtr((mean - stock) / deviation))
    return float((facts["profit"] + facts["holding"]) * short - facts["holding"])
