"""From scores over the whole catalogue to ranked lists, with ties broken by the smaller item index."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentrec.core.protocols import Scorer
from agentrec.core.types import PAD, FloatArray, Histories, IntArray, Recommendations


def top_n(scores: FloatArray, n: int) -> Recommendations:
    """The n best items of each row.

    Args:
        scores: (U, N) float32; ``-inf`` marks items that may not be recommended.
        n: list length; rows with fewer allowed items end in ``-1``.

    Returns:
        The same as a stable sort by descending score, without sorting whole rows.
    """
    num_users, num_items = scores.shape
    kept = min(n, num_items)
    items = np.full((num_users, n), PAD, np.int64)
    best = np.full((num_users, n), -np.inf, np.float32)
    if num_users and kept:
        keys = _sortable(scores)
        chosen = np.argpartition(keys, kept - 1, axis=1)[:, :kept] if kept < num_items else np.argsort(keys, axis=1)
        order = np.argsort(np.take_along_axis(keys, chosen, axis=1), axis=1)
        items[:, :kept] = np.take_along_axis(chosen, order, axis=1)
        best[:, :kept] = np.take_along_axis(scores, items[:, :kept], axis=1)
        items[np.isneginf(best)] = PAD
    return Recommendations(items, best)


def _sortable(scores: FloatArray) -> NDArray[np.int64]:
    """Integers that sort ascending as scores descend, then by item: no two of a row are equal."""
    bits = (
        (np.ascontiguousarray(scores, np.float32) + np.float32(0)).view(np.int32).astype(np.int64)
    )  # + 0 turns -0 into 0
    ascending = np.where(bits < 0, np.int64(-(2**31)) - bits, bits)
    return (-ascending << 32) + np.arange(scores.shape[1])


def mask_seen(scores: FloatArray, histories: Histories) -> None:
    """Set the scores of each user's own items to ``-inf``, in place."""
    rows = np.repeat(np.arange(len(histories)), histories.lengths)
    scores[rows, histories.items] = -np.inf


def recommend_by_scores(
    scorer: Scorer, histories: Histories, n: int, *, exclude_seen: bool = False, batch_size: int = 1024
) -> Recommendations:
    """Rank the whole catalogue batch by batch.

    Args:
        scorer: scores a batch of histories: (B, N).
        histories: U users.
        n: list length.
        exclude_seen: leave out the user's own items.
        batch_size: users scored at once; memory is about ``30 * batch_size * N`` bytes.
    """
    parts = []
    for batch in histories.batches(batch_size):
        scores = scorer.score(batch)
        if exclude_seen:
            mask_seen(scores, batch)
        parts.append(top_n(scores, n))
    if not parts:
        return Recommendations(np.zeros((0, n), np.int64), np.zeros((0, n), np.float32))
    return Recommendations(
        np.concatenate([part.items for part in parts]), np.concatenate([part.scores for part in parts])
    )


def counts(items: IntArray, num_items: int) -> FloatArray:
    """How often each item occurs: (N,) float32."""
    return np.bincount(items, minlength=num_items).astype(np.float32)
