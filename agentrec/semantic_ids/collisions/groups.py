"""Items by the codes they share: groups, ranks inside them, and how often codes are shared.

Rows are compared as single integers, so that a million of them group in a fraction of a second.
"""

from __future__ import annotations

import math

import numpy as np

from agentrec.core.errors import DataError
from agentrec.core.types import IntArray

WIDEST = 2**62  # more different rows than this do not fit one integer each


def row_keys(codes: IntArray) -> IntArray:
    """One integer per row, equal where rows are equal and ordered as they are.

    Args:
        codes: (N, L) int64, not negative; L may be 0, and all rows are then equal.

    Returns:
        (N,) int64.

    Example:
        >>> row_keys(np.array([[1, 0], [0, 2], [1, 0]])).tolist()
        [3, 2, 3]
    """
    if codes.shape[1] == 0 or len(codes) == 0:
        return np.zeros(len(codes), np.int64)
    sizes = [int(size) for size in codes.max(axis=0) + 1]
    if math.prod(sizes) > WIDEST:
        return np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    keys = np.zeros(len(codes), np.int64)
    for column, size in zip(codes.T, sizes, strict=True):
        keys = keys * size + column
    return keys


def groups(codes: IntArray) -> tuple[IntArray, IntArray]:
    """Group of every item (N,) and size of every group (G,), groups in the order of their codes.

    Raises:
        DataError: the codes are not (N, L) with an item and a level at least, or one is negative.
    """
    table = np.asarray(codes)
    if table.ndim != 2 or table.size == 0:
        raise DataError(f"codes have shape {table.shape}; expected (N, L) with at least one item and one level")
    if table.min() < 0:
        raise DataError(f"row {int(table.min(axis=1).argmin())} has code {int(table.min())}; expected 0 or more")
    _, group, sizes = np.unique(row_keys(table), return_inverse=True, return_counts=True)
    return group.reshape(-1), sizes


def ranks(group: IntArray, order: IntArray | None = None) -> IntArray:
    """Place of every item inside its group, from 0.

    Args:
        group: (N,) int64, group of every item, 0..G-1.
        order: (N,) a number per item; smaller comes first, equal numbers in item order; item order by default.

    Returns:
        (N,) int64.
    """
    rows = np.argsort(group, kind="stable") if order is None else np.lexsort((order, group))
    sizes = np.bincount(group)
    rank = np.empty(len(group), np.int64)
    rank[rows] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rank


def collision_rate(codes: IntArray) -> float:
    """1 - distinct / N: the share of items that would be lost if each code row could hold one."""
    group, sizes = groups(codes)
    return 1 - len(sizes) / len(group)


def group_histogram(codes: IntArray) -> dict[int, int]:
    """How many groups of each size share their codes, by size.

    Example:
        >>> group_histogram(np.array([[7, 1], [7, 2], [7, 1]]))
        {1: 1, 2: 1}
    """
    found, counts = np.unique(groups(codes)[1], return_counts=True)
    return {int(size): int(count) for size, count in zip(found, counts, strict=True)}
