"""How unusual the recommended items are: self-information, and popularity against the user's own history.

Popularity is the number of training interactions of an item. Both metrics look at items alone: a list can be novel and
useless, so read them beside a ranking metric.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from agentrec.core.types import Histories, IntArray
from agentrec.metrics.lists import Scores, checked_items, list_blocks, ratio


def novelty(items: IntArray, counts: ArrayLike, k: int) -> Scores:
    """Mean self-information of the first k items in bits: ``mean_i -log2((count_i + 1) / (total + N))``.

    One is added to every count, so that an item without training interactions is very novel, not infinitely so; the
    probabilities of all N items add up to 1. The sources smooth nothing and leave unseen items out.

    Args:
        items: (U, n) int64, best first, ``-1`` pads.
        counts: (N,) training interactions per item.
        k: how many places count.

    Returns:
        (U,) float64 of 0 or more; NaN where a list is empty.

    Raises:
        ValueError: a count is negative or no number, or an item is not below N.

    Source:
        Zhou et al. 2010, arXiv:0808.2670 (surprisal); Vargas and Castells 2011, RecSys (mean over the list).

    Example:
        >>> novelty(np.array([[0, 1], [1, -1]]), counts=[5, 1], k=2).tolist()
        [1.207518749639422, 2.0]
    """
    known = _checked_counts(counts)
    information = -np.log2((known + 1.0) / (known.sum() + len(known)))
    return _means(items, information, k)


def popularity_lift(items: IntArray, histories: Histories, counts: ArrayLike, k: int) -> Scores:
    """How much more popular a list is than its user's history: ``mean count of the list / of the history - 1``.

    0 means as popular as what the user chose; 1 twice as popular; -0.5 half as popular. The paper divides means over a
    group of users; here every user has a value, so that groups are means and can be tested.

    Args:
        items: (U, n) int64, best first, ``-1`` pads.
        histories: U users, in the same order.
        counts: (N,) training interactions per item.
        k: how many places count.

    Returns:
        (U,) float64 of -1 or more; NaN where the list or the history is empty, or no item of the history was counted.

    Raises:
        ValueError: lists and histories differ in number, a count is negative, or an item is not below N.

    Source:
        Abdollahpouri et al. 2020, RecSys, "The connection between popularity bias, calibration, and fairness in
        recommendation".
    """
    known = _checked_counts(counts)
    if len(histories) != len(items):
        raise ValueError(f"there are {len(items)} lists and {len(histories)} histories; expected one list per history")
    running = np.concatenate([[0.0], np.cumsum(known[checked_items(histories.items, len(known), lowest=0)])])
    sums = running[histories.offsets[1:]] - running[histories.offsets[:-1]]
    usual = ratio(sums, histories.lengths.astype(np.float64))
    return ratio(_means(items, known, k), np.nan_to_num(usual)) - 1.0


def _means(items: IntArray, values: Scores, k: int) -> Scores:
    """Mean of a value per item over the first k items of each list: (U,) float64, NaN where a list is empty."""
    table = np.append(values, 0.0)  # the last entry answers to -1
    means = np.empty(len(items))
    for rows, block in list_blocks(items, k, len(values)):
        means[rows] = ratio(table[block].sum(axis=1), np.count_nonzero(block >= 0, axis=1).astype(np.float64))
    return means


def _checked_counts(counts: ArrayLike) -> Scores:
    known = np.asarray(counts, np.float64)
    if known.ndim != 1 or not np.isfinite(known).all() or known.min(initial=0.0) < 0:
        raise ValueError("counts are no (N,) numbers of 0 or more; expected training interactions per item")
    return known
