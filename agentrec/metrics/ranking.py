"""Ranking quality of lists: recall, NDCG, reciprocal rank and average precision.

Two families. The first scores one target per user and works from ranks: 0-based, and any rank of k or more counts as
missed. The second scores several, possibly graded, relevant items and works from the relevance of each place of the
list; it takes any leading shape, so it serves as a reward of groups of lists as well. Every value lies in [0, 1].
This module does not know what an item is, and it averages nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentrec.core.types import PAD, IntArray
from agentrec.metrics.lists import Scores, positive, row_blocks


def target_ranks(items: IntArray, targets: IntArray) -> IntArray:
    """Find where each user's target stands in the list.

    Args:
        items: (U, n) int64 or int32, best first, ``-1`` pads.
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
    length = items.shape[1]
    ranks = np.full(len(items), length, np.int64)
    for rows in row_blocks(len(items) if length else 0, length):
        match = items[rows] == targets[rows, None]
        place = match.argmax(axis=1)
        ranks[rows] = np.where(match[np.arange(len(place)), place], place, length)
    return ranks


def recall(ranks: IntArray, k: int) -> Scores:
    """Whether the target is among the first k: ranks (U,) int64 -> (U,) float64."""
    return (np.asarray(ranks) < positive(k)).astype(np.float64)


def ndcg(ranks: IntArray, k: int) -> Scores:
    """NDCG of a single target, ``1 / log2(rank + 2)`` among the first k: ranks (U,) int64 -> (U,) float64."""
    ranks = np.asarray(ranks)
    return np.where(ranks < positive(k), 1.0 / np.log2(ranks + 2.0), 0.0)


def mrr(ranks: IntArray, k: int) -> Scores:
    """Reciprocal rank, ``1 / (rank + 1)`` among the first k: ranks (U,) int64 -> (U,) float64."""
    ranks = np.asarray(ranks)
    return np.where(ranks < positive(k), 1.0 / (ranks + 1.0), 0.0)


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
    found = np.zeros(np.shape(items), np.bool_)
    for rows, _, match in _matches(items, relevant):
        found[rows] |= match
    return found


def graded_gains(items: IntArray, relevant: IntArray, gains: ArrayLike) -> Scores:
    """Look up the gain of the item at each place of the list.

    Args:
        items: (U, n) int64, ``-1`` pads.
        relevant: (U, m) int64, the distinct relevant items of each user, ``-1`` pads.
        gains: (U, m) the gain of each relevant item.

    Returns:
        (U, n) float64, 0 where an item is not relevant: what `graded_ndcg` takes, with ``gains`` as the ideal (0 where
        ``relevant`` is padding).

    Example:
        >>> graded_gains(np.array([[4, 2, 7]]), np.array([[7, 4]]), np.array([[1.0, 3.0]])).tolist()
        [[3.0, 0.0, 1.0]]
    """
    worth = np.asarray(gains, np.float64)
    if worth.shape != np.shape(relevant):
        raise ValueError(f"gains have shape {worth.shape}, relevant items {np.shape(relevant)}; expected the same")
    found = np.zeros(np.shape(items))
    for rows, column, match in _matches(items, relevant):
        np.copyto(found[rows], worth[rows, column, None], where=match)
    return found


def first_hit(hit: ArrayLike) -> IntArray:
    """Rank of the first relevant item, or n where there is none: (..., n) bool -> (...) int64.

    The single-target family takes it: `recall` is then the hit rate and `mrr` the reciprocal rank of the first hit.
    """
    marks = np.asarray(hit, np.bool_)
    if not marks.shape[-1]:
        return np.zeros(marks.shape[:-1], np.int64)
    return np.asarray(np.where(marks.any(axis=-1), marks.argmax(axis=-1), marks.shape[-1]), np.int64)


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
    found, possible = _dcg(np.asarray(gains), k), _dcg(np.asarray(ideal), k, best_first=True)
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
    return _ratio(_num_hits(hit, k), np.asarray(num_relevant, np.float64))


def precision(hit: ArrayLike, k: int) -> Scores:
    """Share of the first k places that hold a relevant item; empty places count: (..., n) bool -> (...) float64."""
    return _num_hits(hit, k) / k


def average_precision(hit: ArrayLike, num_relevant: ArrayLike, k: int) -> Scores:
    """Average precision: mean over ``min(num_relevant, k)`` of the precision at the place of every hit.

    trec_eval and ranx divide by ``num_relevant`` even where k places cannot hold them all.

    Args:
        hit: (..., n) bool, as `hits` returns it.
        num_relevant: (...) int, how many items are relevant.
        k: how many places count.

    Returns:
        (...) float64; 0 where nothing is relevant.
    """
    marks = np.asarray(hit, np.bool_)[..., : positive(k)]
    table = marks.reshape(math.prod(marks.shape[:-1]), marks.shape[-1])
    sums = np.empty(len(table))
    for rows in row_blocks(*table.shape):
        block = table[rows]
        precisions = np.cumsum(block, axis=1) / np.arange(1, block.shape[1] + 1)
        sums[rows] = (precisions * block).sum(axis=1)
    return _ratio(sums.reshape(marks.shape[:-1]), np.minimum(np.asarray(num_relevant, np.float64), k))


def _matches(items: IntArray, relevant: IntArray) -> Iterator[tuple[slice, int, NDArray[np.bool_]]]:
    """Block by block and relevant item by relevant item: the rows, its column, and where the lists hold it."""
    items, relevant = np.asarray(items), np.asarray(relevant)
    if items.ndim != 2 or relevant.ndim != 2 or len(items) != len(relevant):
        raise ValueError(f"items have shape {items.shape}, relevant {relevant.shape}; expected (U, n) and (U, m)")
    for rows in row_blocks(*items.shape):
        block = items[rows]
        for column in range(relevant.shape[1]):
            wanted = relevant[rows, column, None]
            yield rows, column, (block == wanted) & (wanted != PAD)


def _num_hits(hit: ArrayLike, k: int) -> Scores:
    return np.asarray(np.asarray(hit, np.bool_)[..., : positive(k)].sum(axis=-1, dtype=np.float64))


def _dcg(gains: NDArray[Any], k: int, *, best_first: bool = False) -> Scores:
    """Discounted gain of the first k: (..., n) -> (...); ``best_first`` sorts each row before."""
    table = gains.reshape(math.prod(gains.shape[:-1]), gains.shape[-1])
    discounts = 1.0 / np.log2(np.arange(min(positive(k), table.shape[1])) + 2.0)
    found = np.empty(len(table))
    for rows in row_blocks(*table.shape):
        block = np.asarray(table[rows], np.float64)
        if block.min(initial=0.0) < 0:
            raise ValueError("a gain is negative; expected gains of 0 or more")
        kept = -np.sort(-block, axis=1) if best_first else block
        found[rows] = kept[:, :k] @ discounts
    return found.reshape(gains.shape[:-1])


def _ratio(part: Any, whole: Any) -> Scores:
    part, whole = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0))
