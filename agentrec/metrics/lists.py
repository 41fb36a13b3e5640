"""What all metrics of lists check, and how they walk over many lists: in blocks of rows, so little is held at once.

A million lists of a hundred items are 800 MB of int64; a metric that compares, sorts or looks up all of them at once
needs that much again, or several times as much. A block fits the processor's cache and costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from agentrec.core.types import PAD, IntArray

Scores = NDArray[np.float64]

CELLS = 1 << 18  # numbers held at once: 2 MB of float64


def row_blocks(num_rows: int, width: float, *, cells: int = CELLS) -> Iterator[slice]:
    """Cut ``num_rows`` rows of ``width`` numbers into slices of at most ``cells`` numbers, and at least one row.

    Example:
        >>> [(rows.start, rows.stop) for rows in row_blocks(5, width=4, cells=10)]
        [(0, 2), (2, 4), (4, 5)]
    """
    step = max(1, int(cells // max(width, 1)))
    for start in range(0, num_rows, step):
        yield slice(start, min(start + step, num_rows))


def list_blocks(items: IntArray, k: int, num_items: int, *, width: float = 0) -> Iterator[tuple[slice, IntArray]]:
    """Walk over the first k places of lists in checked blocks of rows.

    Args:
        items: (U, n) int64 or int32, ``-1`` pads.
        k: how many places count.
        num_items: N.
        width: how many numbers the caller holds per row, where that is more than k.

    Yields:
        The rows of a block, and its items (rows, min(k, n)).

    Raises:
        ValueError: the lists are no matrix of integers, k is below 1, or an item is not between -1 and N - 1.
    """
    items = np.asarray(items)
    if items.ndim != 2 or (items.size and items.dtype.kind not in "iu"):
        raise ValueError(f"items have shape {items.shape} and type {items.dtype}; expected (U, n) integers")
    kept = items[:, : positive(k)]
    for rows in row_blocks(len(kept), max(kept.shape[1], width)):
        yield rows, checked_items(np.asarray(kept[rows], np.int64), num_items)


def checked_items(items: IntArray, num_items: int, *, lowest: int = PAD) -> IntArray:
    """Return the items as they are.

    Args:
        items: any shape.
        num_items: N.
        lowest: the smallest value allowed; 0 where padding is not.

    Raises:
        ValueError: one is not between ``lowest`` and N - 1.
    """
    if items.size:
        low, high = int(items.min()), int(items.max())
        if low < lowest or high >= num_items:
            bad = high if high >= num_items else low
            raise ValueError(f"item {bad} is unknown among {num_items} items; expected 0 to {num_items - 1}")
    return items


def positive(k: int) -> int:
    """Return k.

    Raises:
        ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; expected 1 or more")
    return k


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> Scores:
    """``part / whole``, NaN where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) != 0))


def shared_share(first: IntArray, second: IntArray) -> Scores:
    """Share of each first list's items that the second list holds, whatever their order.

    Args:
        first: (U, n) int64 item indexes, ``-1`` pads.
        second: (U, m) likewise.

    Returns:
        (U,) float64; NaN where the first list is empty.

    Example:
        >>> shared_share(np.array([[3, 1, -1], [4, 5, 6]]), np.array([[1, 2], [6, 4]])).round(2).tolist()
        [0.5, 0.67]
    """
    real = first >= 0
    hits = ((first[:, :, None] == second[:, None, :]).any(axis=2) & real).sum(axis=1)
    counts = real.sum(axis=1)
    shares: Scores = np.divide(hits, counts, out=np.full(len(first), np.nan), where=counts > 0)
    return shares
