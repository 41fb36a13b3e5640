"""Nearest neighbours of items, and whether they share codes.

Sharing has a chance level: codes that all items have are shared by all neighbours too.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from agentrec.core.errors import ConfigError
from agentrec.core.rng import generator
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.collisions.groups import groups

Metric = Literal["euclidean", "cosine"]
PREFIXES = 3  # the longest prefix that is looked at: longer ones are shared by few


def neighbour_sharing(
    vectors: FloatArray,
    codes: IntArray,
    *,
    neighbours: int = 10,
    queries: int = 2000,
    metric: Metric = "euclidean",
    seed: int = 0,
) -> dict[str, Any]:
    """How often nearest neighbours share their first codes, and how often any two items do.

    Args:
        vectors: (N, D) float32.
        codes: (N, L) int64.
        neighbours: k, nearest neighbours per item.
        queries: look at this many items at most, drawn by ``seed``.
        metric: what makes neighbours near, ``"euclidean"`` or ``"cosine"``.
        seed: of that draw.

    Returns:
        ``shared`` and ``chance`` of the first code, both shares 0..1; ``prefixes``, the same for the first 1, 2, 3
        codes (``length``, ``shared``, ``chance``); ``metric`` and ``neighbours`` as used.

    Raises:
        ConfigError: the metric is unknown, or a number is below 1.
    """
    if metric not in get_args(Metric) or min(neighbours, queries) < 1:
        raise ConfigError(
            f"neighbours have metric {metric!r}, number {neighbours} and queries {queries}; expected euclidean or "
            "cosine, and numbers of 1 or more"
        )
    lengths = prefix_lengths(codes)
    shared = [1.0] * len(lengths)
    if len(codes) > 1:
        table = _unit(vectors) if metric == "cosine" else vectors
        pairs = neighbour_pairs(table, neighbours=neighbours, queries=queries, seed=seed)
        shared = shared_codes(codes[:, : len(lengths)], *pairs)
    rows = [
        {"length": length, "shared": share, "chance": sharing_by_chance(codes[:, :length])}
        for length, share in zip(lengths, shared, strict=True)
    ]
    first = {"shared": rows[0]["shared"], "chance": rows[0]["chance"]}
    return {**first, "prefixes": rows, "metric": metric, "neighbours": min(neighbours, max(1, len(codes) - 1))}


def prefix_lengths(codes: IntArray) -> range:
    """1, 2, 3, or fewer where there are fewer levels."""
    return range(1, min(PREFIXES, codes.shape[1]) + 1)


def sharing_by_chance(codes: IntArray) -> float:
    """The share of all pairs of different items that have the same row of codes; 1 where there is no pair.

    Example:
        >>> round(sharing_by_chance(np.array([[0], [0], [1]])), 3)
        0.333
    """
    sizes, total = groups(codes)[1].astype(np.float64), len(codes)
    return float((sizes * (sizes - 1)).sum() / (total * (total - 1))) if total > 1 else 1.0


def _unit(vectors: FloatArray) -> FloatArray:
    """Rows of length 1, for which Euclidean neighbours are those by cosine; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: FloatArray = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return scaled


def neighbour_pairs(
    vectors: FloatArray, *, neighbours: int = 10, queries: int = 2000, seed: int = 0
) -> tuple[IntArray, IntArray]:
    """Items and their nearest others: (Q,) int64 items, (Q, k) int64 neighbours.

    Args:
        vectors: (N, D) float32, two rows at least.
        neighbours: k, at most N - 1.
        queries: Q, at most N.
        seed: of the draw of items where there are more.
    """
    from sklearn.neighbors import NearestNeighbors

    size = len(vectors)
    rows = np.arange(size) if size <= queries else generator(seed, "neighbours").choice(size, queries, replace=False)
    wanted = min(neighbours, size - 1)
    index = NearestNeighbors(n_neighbors=wanted + 1, algorithm="brute").fit(vectors)
    found = index.kneighbors(vectors[rows], return_distance=False)
    own = found == rows[:, None]
    own[~own.any(axis=1), -1] = True  # twins crowded the item out of its own list: drop the farthest
    return rows, found[~own].reshape(len(rows), wanted)


def shared_codes(codes: IntArray, rows: IntArray, found: IntArray) -> list[float]:
    """Shares of pairs whose first 1, 2, ... L codes are the same: (N, L), (Q,), (Q, k) -> L shares."""
    same = np.logical_and.accumulate(codes[rows][:, None, :] == codes[found], axis=2)
    return [float(share) for share in same.mean(axis=(0, 1))]
