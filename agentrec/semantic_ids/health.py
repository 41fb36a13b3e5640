"""Health of a code book: reconstruction, use of the codes, collisions, and whether neighbours share codes.

Compare neighbour sharing with its chance level: a level on which every item has the same code shares everything and
says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agentrec.core.errors import DataError
from agentrec.core.rng import generator
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.collisions import collision_rate, group_histogram


def perplexity(counts: IntArray) -> float:
    """exp of the entropy of code use: the number of evenly used codes that would be as diverse.

    Example:
        >>> round(perplexity(np.array([5, 5, 0, 0])), 6)
        2.0
    """
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def gini(counts: IntArray) -> float:
    """Inequality of code use: 0 all codes alike, towards 1 a single code; unused codes count.

    Example:
        >>> gini(np.array([1, 1, 1])), gini(np.array([0, 0, 0, 1]))
        (0.0, 0.75)
    """
    ordered = np.sort(counts).astype(np.float64)
    size = len(ordered)
    return float(((2 * np.arange(1, size + 1) - size - 1) * ordered).sum() / (size * ordered.sum()))


def relative_error(vectors: FloatArray, reconstruction: FloatArray) -> float:
    """Squared error over the squared distance to the mean: 0 exact, 1 no better than the mean vector."""
    exact = vectors.astype(np.float64)
    spread = ((exact - exact.mean(axis=0)) ** 2).sum()
    error = ((exact - reconstruction) ** 2).sum()
    return float(error / spread) if spread > 0 else float(error > 0)


def neighbour_sharing(
    vectors: FloatArray, codes: IntArray, *, neighbours: int = 10, queries: int = 2000, seed: int = 0
) -> dict[str, float]:
    """How often nearest neighbours share the first code, and how often any two items do.

    Args:
        vectors: (N, D) float32.
        codes: (N, L) int64.
        neighbours: nearest neighbours per item.
        queries: look at this many items at most, drawn by ``seed``.
        seed: of that draw.

    Returns:
        ``shared`` and ``chance``, both shares 0..1.
    """
    from sklearn.neighbors import NearestNeighbors

    first, size = codes[:, 0], len(codes)
    counts = np.bincount(first)
    if size < 2:
        return {"shared": 1.0, "chance": 1.0}
    rows = np.arange(size) if size <= queries else generator(seed, "neighbours").choice(size, queries, replace=False)
    wanted = min(neighbours, size - 1)
    found = (
        NearestNeighbors(n_neighbors=wanted + 1, algorithm="brute")
        .fit(vectors)
        .kneighbors(vectors[rows], return_distance=False)
    )
    same = (first[found] == first[rows][:, None]) & (found != rows[:, None])
    last = (found != rows[:, None]).all(axis=1)  # twins crowded the item out of its own list: drop the farthest
    same[last, -1] = False
    return {
        "shared": float(same.sum() / (len(rows) * wanted)),
        "chance": float((counts * (counts - 1)).sum() / (size * (size - 1))),
    }


def health(
    vectors: FloatArray | None,
    codes: IntArray,
    codebooks: Sequence[FloatArray] | None = None,
    *,
    reconstruction: FloatArray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Report on the codes of a catalogue.

    Args:
        vectors: (N, D) float32, what was quantised; without them error and neighbours stay unknown.
        codes: (N, L) int64, before collisions are resolved.
        codebooks: L arrays (K_l, D): level sizes and, as a sum over levels, the reconstruction.
        reconstruction: (N, D) float32, where a sum of code vectors is not how the quantiser decodes.
        seed: of the items whose neighbours are looked at.

    Returns:
        JSON-able: ``num_items``, ``relative_error`` (None when unknown), ``levels`` (size, used, utilisation,
        perplexity, gini), ``collision_rate``, ``group_histogram`` (how many groups by size), ``largest_group`` and
        ``neighbours`` (shared, chance; None when unknown).

    Raises:
        DataError: codes and vectors, or codes and codebooks, do not fit together.
    """
    _check_shapes(vectors, codes, codebooks)
    if reconstruction is None and codebooks is not None:
        parts = [book[column] for book, column in zip(codebooks, codes.T, strict=True)]
        reconstruction = np.sum(parts, axis=0)
    groups = group_histogram(codes)
    error = None if vectors is None or reconstruction is None else relative_error(vectors, reconstruction)
    return {
        "num_items": len(codes),
        "relative_error": error,
        "levels": levels(codes, None if codebooks is None else [len(book) for book in codebooks]),
        "collision_rate": collision_rate(codes),
        "group_histogram": {str(size): count for size, count in groups.items()},
        "largest_group": max(groups),
        "neighbours": None if vectors is None else neighbour_sharing(vectors, codes, seed=seed),
    }


def _check_shapes(vectors: FloatArray | None, codes: IntArray, codebooks: Sequence[FloatArray] | None) -> None:
    if codes.ndim != 2 or codes.size == 0:
        raise DataError(f"codes have shape {codes.shape}; expected (N, L) with an item and a level at least")
    if vectors is not None and len(vectors) != len(codes):
        raise DataError(f"{len(codes)} rows of codes do not fit {len(vectors)} vectors; expected as many")
    if codebooks is not None and len(codebooks) != codes.shape[1]:
        raise DataError(f"{codes.shape[1]} levels of codes do not fit {len(codebooks)} codebooks; expected as many")
    for level, book in enumerate(codebooks or ()):
        if codes[:, level].max() >= len(book) or codes[:, level].min() < 0:
            raise DataError(f"codes of level {level + 1} do not fit its codebook; expected 0..{len(book) - 1}")


def levels(codes: IntArray, sizes: Sequence[int] | None = None) -> list[dict[str, float]]:
    """Use of the codes per level; without ``sizes`` a level is as large as its largest code."""
    report = []
    for level, column in enumerate(codes.T):
        counts = np.bincount(column, minlength=0 if sizes is None else sizes[level])
        used = int((counts > 0).sum())
        report.append(
            {
                "size": len(counts),
                "used": used,
                "utilisation": used / len(counts),
                "perplexity": perplexity(counts),
                "gini": gini(counts),
            }
        )
    return report
