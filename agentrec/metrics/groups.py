"""Labels by which results are sliced: how popular an item is, and how long a user's history is.

Labels say what a group is in words that sort and print; no group is named that nobody is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

Labels = NDArray[np.str_]

TIER_SHARES = (0.5, 0.9)
LENGTH_EDGES = (1, 5, 10, 20, 50)


def popularity_tiers(counts: ArrayLike, *, shares: tuple[float, float] = TIER_SHARES) -> Labels:
    """Label every item ``head``, ``torso``, ``tail`` or ``cold`` by its share of all training interactions.

    Items are taken from the most to the least popular. The head is the fewest items that together hold at least the
    first share of all interactions (half of them), the torso those that follow up to the second (nine tenths), the
    tail the rest; items of equal popularity stay together, in the more popular tier. Cold items have no interaction.

    Args:
        counts: (N,) training interactions per item.
        shares: where head and torso end.

    Returns:
        (N,) text; index it by a target for the tier of that target.

    Raises:
        ValueError: a count is negative, or the shares are not ``0 < head <= torso <= 1``.

    Example:
        >>> popularity_tiers([1, 60, 0, 30, 9]).tolist()
        ['tail', 'head', 'cold', 'torso', 'tail']
    """
    known = np.asarray(counts, np.float64)
    if known.ndim != 1 or not np.isfinite(known).all() or known.min(initial=0.0) < 0:
        raise ValueError("counts are no (N,) numbers of 0 or more; expected training interactions per item")
    head, torso = shares
    if not 0 < head <= torso <= 1:
        raise ValueError(f"shares are {shares}; expected 0 < head <= torso <= 1")
    levels, level = np.unique(-known, return_inverse=True)
    held = np.bincount(level, weights=known, minlength=len(levels))
    more_popular = np.cumsum(held) - held  # interactions of strictly more popular items
    ends = np.array([head, torso]) * known.sum()
    names = np.array(["head", "torso", "tail"])[np.searchsorted(ends, more_popular, side="right")]
    return np.asarray(np.where(known > 0, names[level], "cold"), np.str_)


def history_length_groups(lengths: ArrayLike, *, edges: Sequence[int] = LENGTH_EDGES) -> Labels:
    """Label every user by the length of the history, such as ``5-9`` or ``50+``.

    Args:
        lengths: (U,) items per history.
        edges: where a new group starts, ascending, the first above 0.

    Returns:
        (U,) text.

    Raises:
        ValueError: a length is negative, or the edges do not ascend from above 0.

    Example:
        >>> history_length_groups([0, 3, 5, 9, 70]).tolist()
        ['0', '1-4', '5-9', '5-9', '50+']
    """
    known, starts = np.asarray(lengths), [0, *edges]
    if known.size and known.min() < 0:
        raise ValueError(f"a length is {known.min()}; expected 0 or more")
    if any(second <= first for first, second in pairwise(starts)):
        raise ValueError(f"edges are {list(edges)}; expected ascending lengths above 0")
    ends = [start - 1 for start in starts[1:]]
    names = [f"{low}" if low == high else f"{low}-{high}" for low, high in zip(starts, ends, strict=False)]
    return np.asarray([*names, f"{starts[-1]}+"], np.str_)[np.searchsorted(starts, known, side="right") - 1]
