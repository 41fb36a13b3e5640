"""Whether a list keeps the proportions of a user's interests: the divergence between two mixes of categories."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from agentrec.core.types import PAD, Histories, IntArray
from agentrec.metrics.lists import Scores, checked_items, list_blocks

ROUNDING = 1e-4  # how far from 1 a row of memberships may add up; float32 shares stay well below


def calibration_error(items: IntArray, histories: Histories, memberships: Any, k: int, alpha: float = 0.01) -> Scores:
    """Divergence of the list's mix of categories from the history's: ``KL(p | (1 - alpha) q + alpha p)`` in nats.

    p is the mean membership of the items of the history, q of the first k items of the list; repeated items count
    each time. Items without a category are left out of both. All items weigh the same; the paper may weigh places.

    Args:
        items: (U, n) int64, best first, ``-1`` pads.
        histories: U users, in the same order.
        memberships: (N, C) shares of the categories of each item, an array or a scipy.sparse matrix; a row adds up to
            1, or is zero where an item has no category.
        k: how many places count.
        alpha: smoothing in (0, 1], which keeps the value finite where a list lacks a category.

    Returns:
        (U,) float64 between 0, the same mix, and ``-ln(alpha)``, no category in common (4.6 for 0.01); NaN where list
        or history has no item with a category.

    Raises:
        ValueError: lists and histories differ in number, memberships do not add up, alpha is out of range, or an item
            is not below N.

    Source:
        Steck 2018, RecSys, "Calibrated recommendations".

    Example:
        >>> histories = Histories.from_lists([[0, 1], [0, 1]])
        >>> calibration_error(np.array([[1, 0], [0, 0]]), histories, np.eye(2), k=2).round(2).tolist()
        [0.0, 1.96]
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha is {alpha}; expected a value above 0 and up to 1")
    if len(histories) != len(items):
        raise ValueError(f"there are {len(items)} lists and {len(histories)} histories; expected one list per history")
    shares = _checked_memberships(memberships)
    num_items, num_categories = shares.shape
    checked_items(histories.items, num_items, lowest=0)
    per_row = k + len(histories.items) / max(1, len(histories))
    filled = min(num_categories, per_row * shares.nnz / max(1, num_items))
    errors = np.empty(len(items))
    for rows, block in list_blocks(items, k, num_items, width=max(per_row, filled)):
        offsets = histories.offsets[rows.start : rows.stop + 1]
        wanted = _mix(histories.items[offsets[0] : offsets[-1]], offsets - offsets[0], shares)
        real = block != PAD
        given = _mix(block[real], np.concatenate([[0], np.cumsum(real.sum(axis=1))]), shares)
        errors[rows] = _divergence(wanted, given, alpha)
    return errors


def _mix(items: IntArray, offsets: IntArray, shares: Any) -> Any:
    """Mean membership of runs of items, as a sorted ``csr_array``; an empty row where no item has a category."""
    ones = np.ones(len(items))
    mix = sparse.csr_array((ones, items, offsets), shape=(len(offsets) - 1, shares.shape[0])) @ shares
    mix.sort_indices()
    totals = np.asarray(mix.sum(axis=1))
    mix.data /= np.repeat(totals, np.diff(mix.indptr))
    return mix


def _divergence(wanted: Any, given: Any, alpha: float) -> Scores:
    """Smoothed divergence of each row; only the categories of the history matter, since ``0 log 0`` is 0."""
    pattern = sparse.csr_array((np.ones(wanted.nnz), wanted.indices, wanted.indptr), shape=wanted.shape)
    smoothed = ((1.0 - alpha) * given + alpha * wanted).multiply(pattern).tocsr()
    smoothed.sort_indices()  # the same places as in `wanted`, all of them above 0
    row = np.repeat(np.arange(wanted.shape[0]), np.diff(wanted.indptr))
    terms = wanted.data * np.log(wanted.data / smoothed.data)
    found = np.maximum(np.bincount(row, terms, minlength=wanted.shape[0]), 0.0)
    defined = (np.diff(wanted.indptr) > 0) & (np.diff(given.indptr) > 0)
    return np.where(defined, found, np.nan)


def _checked_memberships(memberships: Any) -> Any:
    shares = sparse.csr_array(memberships, dtype=np.float64)
    if shares.ndim != 2:
        raise ValueError(f"memberships have shape {shares.shape}; expected (N, C) shares")
    totals = np.asarray(shares.sum(axis=1))
    bad = np.flatnonzero(~((np.abs(totals - 1.0) <= ROUNDING) | (totals == 0)))
    if len(bad) or shares.data.min(initial=0.0) < 0:
        where = f"row {bad[0]} adds up to {totals[bad[0]]:g}" if len(bad) else "one is negative"
        raise ValueError(f"memberships are no shares: {where}; expected rows that add up to 1, or zero rows")
    if shares.data.all():
        return shares
    shares = shares.copy()  # the caller's own arrays stay as they are
    shares.eliminate_zeros()
    return shares
