"""How widely a set of lists spreads over the catalogue: coverage and the Gini index of exposure.

Both are properties of all lists together, not means over users, and both depend on how many lists there are: compare
recommenders on the same users only.
"""

from __future__ import annotations

import numpy as np

from agentrec.core.types import IntArray


def exposure(items: IntArray, num_items: int) -> IntArray:
    """Count how often each item is recommended.

    Args:
        items: (U, k) int64, ``-1`` pads.
        num_items: N.

    Returns:
        (N,) int64.

    Raises:
        ValueError: an item is not below N.
    """
    shown = np.asarray(items).ravel()
    shown = shown[shown >= 0]
    if shown.size and shown.max() >= num_items:
        raise ValueError(f"item {int(shown.max())} is recommended out of {num_items}; expected 0 to {num_items - 1}")
    return np.bincount(shown, minlength=num_items).astype(np.int64)


def coverage(items: IntArray, num_items: int) -> float:
    """Share of the catalogue that at least one list shows.

    Args:
        items: (U, k) int64, ``-1`` pads.
        num_items: N.

    Example:
        >>> coverage(np.array([[0, 1], [1, -1]]), num_items=4)
        0.5
    """
    return float(np.count_nonzero(exposure(items, num_items)) / num_items) if num_items else 0.0


def gini(items: IntArray, num_items: int) -> float:
    """Gini index of exposure over all N items: 0 when all are shown equally often, near 1 when few get everything.

    ``sum_i (2 i - N - 1) x_i / (N sum_i x_i)`` with the counts x in ascending order and i from 1. Items never shown
    count; with nothing shown at all the index is 0.

    Args:
        items: (U, k) int64, ``-1`` pads.
        num_items: N.

    Example:
        >>> gini(np.array([[0, 1], [1, 1]]), num_items=2)
        0.25
    """
    counts = np.sort(exposure(items, num_items)).astype(np.float64)
    total = counts.sum()
    if not total:
        return 0.0
    place = 2.0 * np.arange(1, num_items + 1) - num_items - 1
    return float(place @ counts / (num_items * total))
