"""Numbers and findings in words, the same in every report.

An undefined number is a dash. All numbers of one metric have the same decimals, chosen by the largest of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from agentrec.evaluation.result import Comparison, Estimate

ALPHA = 0.05
DASH = "–"
MOST_DECIMALS = 12
NAMED = 3  # more systems than that are counted instead of named


def decimals(values: Iterable[float | None]) -> int:
    """Decimals that suit numbers of this size: four below 10, fewer for larger and more for tiny ones."""
    largest = max((abs(value) for value in values if is_number(value)), default=0.0)  # type: ignore[arg-type]
    if not largest:
        return 4
    magnitude = math.floor(math.log10(largest))
    return max(0, 4 - magnitude) if magnitude >= 0 else min(MOST_DECIMALS, max(4, 2 - magnitude))


def is_number(value: float | None) -> bool:
    """Whether a number is defined and finite."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """A number with so many decimals, or a dash."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{round(value, digits) + 0.0:{'+' if sign else ''},.{digits}f}"


def amount(value: float | None) -> str:
    """A number with three significant digits, or a dash: for costs."""
    if value is None or not math.isfinite(value):
        return DASH
    size = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.2e}" if size < -6 else f"{value:,.{max(0, 2 - size)}f}"


def interval(estimate: Estimate, digits: int) -> str:
    """``0.1200 to 0.1400``, or nothing where there is no interval."""
    if not (is_number(estimate.low) and is_number(estimate.high)):
        return ""
    return f"{number(estimate.low, digits)} to {number(estimate.high, digits)}"


def direction(better: str) -> str:
    """Which way a metric improves, in words; nothing where neither is better."""
    return "" if better == "neither" else f"{better} is better"


def cost_label(name: str) -> str:
    """The name of a cost in words."""
    return name.replace("_", " ")


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; more are counted."""
    if len(names) > NAMED:
        return f"{len(names)} others"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def describe_comparison(row: Comparison, digits: int | None = None) -> dict[str, str]:
    """One row of a comparison table, as text.

    Args:
        row: the comparison.
        digits: decimals; by default such as suit the row.

    Returns:
        ``metric``, ``pair``, ``difference``, ``interval``, ``p`` (corrected), ``verdict``, ``seeds`` and ``power``.
    """
    digits = decimals((row.difference, row.low, row.high)) if digits is None else digits
    agree = row.seeds_ahead if row.difference > 0 else row.num_seeds - row.seeds_ahead
    return {
        "metric": row.metric,
        "pair": f"{row.first} − {row.second}",
        "difference": number(row.difference, digits, sign=True),
        "interval": f"{number(row.low, digits, sign=True)} to {number(row.high, digits, sign=True)}",
        "p": "< 0.0001" if row.holm < 1e-4 else number(row.holm, 4),
        "verdict": verdict(row),
        "seeds": f"{agree} of {row.num_seeds} agree" if row.num_seeds > 1 else "",
        "power": power(row),
    }


def verdict(row: Comparison) -> str:
    """Who is ahead, or why nobody is."""
    if row.winner is not None:
        return f"{row.winner} is ahead"
    clear = row.holm < ALPHA and not row.low <= 0 <= row.high
    if clear and row.seeds_ahead not in (0, row.num_seeds):
        return "seeds disagree"
    return "they differ; neither direction is better" if clear and row.better == "neither" else "no clear difference"


def power(row: Comparison) -> str:
    """How many units a difference of this size needs, beside how many there are."""
    if row.units_needed is None:
        return "no number of units finds a difference this small"
    needed, there = about(row.units_needed), f"there are {row.num_units:,}"
    if row.units_needed > row.num_units:
        return f"needs {needed} units to be found in 4 of 5 samples; {there}"
    if row.winner is None and row.p_value < ALPHA <= row.holm:
        return f"{needed} units find it in 4 of 5 samples and {there}; the correction takes it back"
    return f"{needed} units find it in 4 of 5 samples; {there}"


def about(count: int) -> str:
    """A count with two significant digits, and ``about`` where that rounds."""
    places = max(0, len(str(count)) - 2)
    rounded = round(count, -places)
    return f"{count:,}" if rounded == count else f"about {rounded:,}"


def finding(comparisons: Sequence[Comparison], metric: str, leader: str) -> str:
    """One sentence: whether the first system by a metric is ahead of the others for certain; empty if nobody asked."""
    rows = [row for row in comparisons if row.metric == metric and leader in (row.first, row.second)]
    if not rows or rows[0].better == "neither":
        return ""
    unclear = [row.second if row.first == leader else row.first for row in rows if row.winner != leader]
    if unclear:
        return f"On {metric}, {leader} stands first, but is not clearly ahead of {listed(unclear)}."
    beaten = [row.second if row.first == leader else row.first for row in rows]
    return f"On {metric}, {leader} is clearly ahead of {listed(beaten)}."
