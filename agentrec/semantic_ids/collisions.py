"""Items that share all their codes, and what to do about them.

A policy is a function from codes (N, L) to codes (N, L') in which every row is distinct. There is one so far,
``append`` (TIGER, arXiv:2305.05065): a further level numbers the items of a colliding group in item order. A policy of
one's own goes into `POLICIES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agentrec.core.errors import DataError, UnknownNameError
from agentrec.core.types import IntArray

Policy = Callable[[IntArray], IntArray]


def _groups(codes: IntArray) -> tuple[IntArray, IntArray]:
    """Group of every item (N,) and size of every group (G,)."""
    table = np.asarray(codes)
    if table.ndim != 2 or table.size == 0:
        raise DataError(f"codes have shape {table.shape}; expected (N, L) with at least one item and one level")
    _, group, sizes = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    return group.reshape(-1), sizes


def append_level(codes: IntArray) -> IntArray:
    """Add a level that holds each item's rank among the items with the same codes, in item order.

    Args:
        codes: (N, L) int64.

    Returns:
        (N, L + 1) int64 with distinct rows; 0 in the last column for the first item of every group.

    Example:
        >>> append_level(np.array([[7, 1], [7, 2], [7, 1]])).tolist()
        [[7, 1, 0], [7, 2, 0], [7, 1, 1]]
    """
    group, sizes = _groups(codes)
    order = np.argsort(group, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, sizes)
    return np.column_stack([codes, rank]).astype(np.int64)


POLICIES: dict[str, Policy] = {"append": append_level}


def resolve(codes: IntArray, policy: str = "append") -> IntArray:
    """Give every item codes of its own; codes without collisions come back as they are.

    Args:
        codes: (N, L) int64.
        policy: a name in `POLICIES`.

    Returns:
        (N, L') int64 with distinct rows.

    Raises:
        UnknownNameError: no policy has that name.
    """
    if policy not in POLICIES:
        raise UnknownNameError(
            f"no collision policy is called {policy!r}; those that exist are {', '.join(sorted(POLICIES))}"
        )
    return POLICIES[policy](codes) if collision_rate(codes) > 0 else np.array(codes, dtype=np.int64)


def collision_rate(codes: IntArray) -> float:
    """1 - distinct / N: the share of items that would be lost if each code row could hold one."""
    group, sizes = _groups(codes)
    return 1 - len(sizes) / len(group)


def group_histogram(codes: IntArray) -> dict[int, int]:
    """How many groups of each size share their codes, by size.

    Example:
        >>> group_histogram(np.array([[7, 1], [7, 2], [7, 1]]))
        {1: 1, 2: 1}
    """
    found, counts = np.unique(_groups(codes)[1], return_counts=True)
    return {int(size): int(count) for size, count in zip(found, counts, strict=True)}
