"""Ranking quality of lists: recall, NDCG, reciprocal rank and average precision.

Two families. The first scores one target per user and works from ranks: 0-based, and any rank of k or more counts as
missed. The second scores several, possibly graded, relevant items and works from the relevance of each place of the
list; it takes any leading shape, so it serves as a reward of groups of lists as well. Every value lies in [0, 1].
This module does not know what an item is, and it averages nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentrec.core.types import PAD, IntArray

Scores = NDArray[np.float64]


def target_ranks(items: IntArray, targets: IntArray) -> IntArray:
    """Find where each user's target stands in the list.

    Args:
        items: (U, n) int64, best first, ``-1`` pads.
        targets: (U,) int64, ``0..N-1``.

    Returns:
        (U,) int64, the 0-based rank, or n where the list misses the target; score it at k of at most n, since at a
        larger k a miss would look like a find just behind the list.

    Raises:
        ValueError: the shapes do not fit, or a target is negative (it would match the padding).

    Example:
        >>> target_ranks(np.array([[4, 2, 7], [4, 2, -1]]), np.array([2, 7])).tolist()
        [1, 3]
    """
    items, targets = np.asarray(items), np.asarray(targets)
    if items.ndim != 2 or targets.shape != items.shape[:1]:
        raise ValueError(f"items have shape {items.shape}, targets {targets.shape}; expected (U, n) and (U,)")
    if targets.size and targets.min() < 0:
        raise ValueError(f"a target is {int(targets.min())}; expected item indexes of 0 or more")
    if not items.shape[1]:
        return np.zeros(len(items), np.int64)
    match = items == targets[:, None]
    return np.asarray(np.where(match.any(axis=1), match.argmax(axis=1), items.shape[1]), np.int64)


def recall(ranks: IntArray, k: int) -> Scores:
    """Whether the target is among the first k: ranks (U,) int64 -> (U,) float64."""
    return (np.asarray(ranks) < _positive(k)).astype(np.float64)


def ndcg(ranks: IntArray, k: int) -> Scores:
    """NDCG of a single target, ``1 / log2(rank + 2)`` among the first k: ranks (U,) int64 -> (U,) float64."""
    ranks = np.asarray(ranks)
    return np.where(ranks < _positive(k), 1.0 / np.log2(ranks + 2.0), 0.0)


def mrr(ranks: IntArray, k: int) -> Scores:
    """Reciprocal rank, ``1 / (rank + 1)`` among the first k: ranks (U,) int64 -> (U,) float64."""
    ranks = np.asarray(ranks)
    return np.where(ranks < _positive(k), 1.0 / (ranks + 1.0), 0.0)


SINGLE_TARGET = {"recall": recall, "ndcg": ndcg, "mrr": mrr}


def ranking_scores(ranks: IntArray, ks: Sequence[int]) -> dict[str, Scores]:
    """Every single-target metric at every k, by name such as ``ndcg@10``: ranks (U,) int64 -> (U,) float64 each."""
    return {f"{name}@{k}": metric(ranks, k) for name, metric in SINGLE_TARGET.items() for k in ks}


def hits(items: IntArray, relevant: IntArray) -> NDArray[np.bool_]:
    """Mark the places of each list that hold a relevant item.

    Args:
        items: (U, n) int64, ``-1`` pads.
        relevant: (U, m) int64, the relevant items of each user, ``-1`` pads.

    Returns:
        (U, n) bool; padding is never a hit.
    """
    match = (items[:, :, None] == relevant[:, None, :]) & (items[:, :, None] != PAD)
    return np.asarray(match.any(axis=2))


def graded_ndcg(gains: ArrayLike, ideal: ArrayLike, k: int) -> Scores:
    """NDCG of graded relevance: ``DCG@k / ideal DCG@k`` with ``DCG = sum_i gain_i / log2(i + 2)``.

    Args:
        gains: (..., n), gain of the item at each place of the list; use ``2 ** grade - 1`` for exponential gains.
        ideal: (..., m), gains of all relevant items in any order; zeros pad.
        k: how many places count.

    Returns:
        (...) float64; 0 where nothing is relevant.

    Raises:
        ValueError: a gain is negative, or a list gains more than the ideal allows.

    Example:
        >>> float(graded_ndcg([0, 1], ideal=[1, 0], k=2).round(4))
        0.6309
    """
    ranked, best = np.asarray(gains, np.float64), np.asarray(ideal, np.float64)
    if min(ranked.min(initial=0.0), best.min(initial=0.0)) < 0:
        raise ValueError("a gain is negative; expected gains of 0 or more")
    found, possible = _dcg(ranked, k), _dcg(-np.sort(-best, axis=-1), k)
    if np.any(found > possible * (1 + 1e-9)):
        raise ValueError("a list gains more than its ideal; expected `ideal` to hold the gains of all relevant items")
    return _ratio(found, possible)


def recall_of_many(hit: ArrayLike, num_relevant: ArrayLike, k: int) -> Scores:
    """Share of the relevant items that stand among the first k.

    Args:
        hit: (..., n) bool, as `hits` returns it.
        num_relevant: (...) int, how many items are relevant.
        k: how many places count.

    Returns:
        (...) float64; 0 where nothing is relevant.
    """
    found = np.asarray(hit, np.float64)[..., : _positive(k)].sum(axis=-1)
    return _ratio(found, np.asarray(num_relevant, np.float64))


def average_precision(hit: ArrayLike, num_relevant: ArrayLike, k: int) -> Scores:
    """Average precision: mean over ``min(num_relevant, k)`` of the precision at the place of every hit.

    Args:
        hit: (..., n) bool, as `hits` returns it.
        num_relevant: (...) int, how many items are relevant.
        k: how many places count.

    Returns:
        (...) float64; 0 where nothing is relevant.
    """
    marks = np.asarray(hit, np.float64)[..., : _positive(k)]
    precision = np.cumsum(marks, axis=-1) / np.arange(1, marks.shape[-1] + 1)
    return _ratio((precision * marks).sum(axis=-1), np.minimum(np.asarray(num_relevant, np.float64), k))


def _dcg(gains: Scores, k: int) -> Scores:
    kept = gains[..., : _positive(k)]
    return np.asarray(kept @ (1.0 / np.log2(np.arange(kept.shape[-1]) + 2.0)), np.float64)


def _ratio(part: Any, whole: Any) -> Scores:
    part, whole = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0))


def _positive(k: int) -> int:
    if k < 1:
        raise ValueError(f"k is {k}; expected 1 or more")
    return k
