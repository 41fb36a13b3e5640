"""How varied lists are: coverage and the Gini index of exposure over all lists, and the diversity inside each list.

Coverage and Gini are properties of all lists together, not means over users, and both depend on how many lists there
are: compare recommenders on the same users only. Intra-list diversity has a value per user; it depends on the vectors,
so compare recommenders on the same vectors only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from agentrec.core.types import PAD, IntArray
from agentrec.metrics.lists import CELLS, Scores, checked_items, list_blocks, ratio, row_blocks


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
    table = np.asarray(items)
    counts = np.zeros(num_items + 1, np.int64)
    for rows in row_blocks(len(table), table[:1].size, cells=max(CELLS, num_items)):
        block = checked_items(np.asarray(table[rows], np.int64).ravel(), num_items)
        counts += np.bincount(block - PAD, minlength=num_items + 1)
    return counts[1:]


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


def intra_list_diversity(items: IntArray, vectors: Any, k: int) -> Scores:
    """One minus the mean cosine similarity over all pairs of distinct items in the first k.

    With unit vectors the similarities of all pairs of m items add up to ``(|sum_i v_i| ** 2 - m) / 2``, so one sum of
    vectors per list answers, not a loop over pairs. Items whose vector is zero are left out: nothing is known of them.

    Args:
        items: (U, n) int64, best first, ``-1`` pads.
        vectors: (N, D) numbers, an array or a scipy.sparse matrix; rows need no unit length.
        k: how many places count.

    Returns:
        (U,) float64 in [0, 2], in [0, 1] where no vector has negative entries; NaN where fewer than two items remain.

    Raises:
        ValueError: the vectors are no finite matrix, or an item is not below N.

    Source:
        Ziegler et al. 2005, WWW, "Improving recommendation lists through topic diversification" (its similarity, by
        cosines, as a mean).

    Example:
        >>> intra_list_diversity(np.array([[0, 1], [0, 2]]), np.array([[1.0, 0], [2, 0], [0, 3]]), k=2).tolist()
        [0.0, 1.0]
    """
    table = _floating(vectors)
    inverse = _inverse_norms(table)
    per_row = k * table.nnz / max(1, len(inverse)) if sparse.issparse(table) else table.shape[1]
    diversity = np.empty(len(items))
    for rows, block in list_blocks(items, k, len(inverse), width=per_row / 4):
        ordered = np.sort(block, axis=1)
        real = (ordered != PAD) & (inverse[ordered] > 0) if len(inverse) else ordered != PAD
        real[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
        num_real = real.sum(axis=1)
        chosen = ordered[real]
        starts = np.concatenate([[0], np.cumsum(num_real)])
        selection = sparse.csr_array((inverse[chosen], chosen, starts), shape=(len(block), len(inverse)))
        pairs = (num_real * (num_real - 1)).astype(np.float64)
        diversity[rows] = 1.0 - ratio(_squared_lengths(selection @ table) - num_real, pairs)
    return np.clip(diversity, 0.0, 2.0)


def _floating(vectors: Any) -> Any:
    """The vectors as float32 or float64: a contiguous array or ``csr_array``, not copied where they are that already.

    Raises:
        ValueError: no matrix of finite numbers.
    """
    table = sparse.csr_array(vectors) if sparse.issparse(vectors) else np.ascontiguousarray(vectors)
    if table.dtype not in (np.float32, np.float64):
        table = table.astype(np.float64)
    if table.ndim != 2 or not np.isfinite(table.data if sparse.issparse(table) else table).all():
        raise ValueError(f"vectors have shape {table.shape} or are not finite; expected (N, D) numbers")
    return table


def _inverse_norms(table: Any) -> Any:
    """One over the length of each row, (N,) of the vectors' own type; 0 where the row is zero."""
    lengths = np.empty(table.shape[0])
    for rows in row_blocks(*table.shape):
        lengths[rows] = np.sqrt(_squared_lengths(table[rows]))
    real = lengths > np.finfo(table.dtype).tiny
    return np.divide(1.0, lengths, out=np.zeros(len(lengths)), where=real).astype(table.dtype)


def _squared_lengths(table: Any) -> Scores:
    """Squared length of each row, summed in float64: (rows,)."""
    if sparse.issparse(table):
        wide = table.astype(np.float64)
        return np.asarray(wide.multiply(wide).sum(axis=1), np.float64)
    return np.asarray(np.einsum("nd,nd->n", table, table, dtype=np.float64))
