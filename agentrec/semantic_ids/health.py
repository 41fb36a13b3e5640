"""Health of a code book: reconstruction, use of the codes, collisions, and what items that share codes have in common.

Every number that codes without meaning can reach comes with its chance level: a level on which all items have the same
code shares everything among neighbours and says nothing; many codes for few items are pure by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agentrec.core.errors import DataError
from agentrec.core.rng import generator
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.collisions.groups import collision_rate, group_histogram, groups
from agentrec.semantic_ids.kmeans import means
from agentrec.semantic_ids.neighbours import Metric, neighbour_sharing
from agentrec.semantic_ids.purity import prefix_purity


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


def additive_error(vectors: FloatArray, codes: IntArray, *, seed: int = 0) -> dict[str, float]:
    """Relative error where a code stands for the mean of what the levels before it left over of its items.

    So codes of any origin are judged on the same vectors, without their codebooks. The means are taken over the items
    that are judged, and many codes fit few items by heart: compare with ``chance``, the same of shuffled rows.

    Args:
        vectors: (N, D) float32.
        codes: (N, L) int64.
        seed: of the shuffle.

    Returns:
        ``relative_error`` and ``chance``.
    """
    shuffled = codes[generator(seed, "additive_error").permutation(len(codes))]
    return {"relative_error": _error_of_means(vectors, codes), "chance": _error_of_means(vectors, shuffled)}


def _error_of_means(vectors: FloatArray, codes: IntArray) -> float:
    residuals = vectors - vectors.mean(axis=0)
    for column in codes.T:
        used, members = np.unique(column, return_inverse=True)
        residuals = residuals - means(residuals, members, len(used))[members]
    return relative_error(vectors, vectors - residuals)


def health(
    vectors: FloatArray | None,
    codes: IntArray,
    codebooks: Sequence[FloatArray] | None = None,
    *,
    reconstruction: FloatArray | None = None,
    categories: Sequence[str] | None = None,
    metric: Metric = "euclidean",
    seed: int = 0,
) -> dict[str, Any]:
    """Report on the codes of a catalogue.

    Args:
        vectors: (N, D) float32, what was quantised; without them error and neighbours stay unknown.
        codes: (N, L) int64, before collisions are resolved.
        codebooks: L arrays (K_l, D): level sizes and, as a sum over levels, the reconstruction.
        reconstruction: (N, D) float32, where a sum of code vectors is not how the quantiser decodes.
        categories: N categories, empty where unknown.
        metric: of neighbours, ``"euclidean"`` or ``"cosine"``.
        seed: of the items whose neighbours are looked at, and of what is shuffled for chance levels.

    Returns:
        JSON-able; what is unknown is None:

        - ``num_items``; ``levels``: size, used, utilisation, perplexity and gini of each;
        - ``items_per_first_code``: min, median and max over the codes in use;
        - ``relative_error`` of the reconstruction; ``additive_error``, as `additive_error` returns it;
        - ``collision_rate``; ``group_histogram``: how many groups by size; ``largest_group``;
        - ``neighbours``, as `agentrec.semantic_ids.neighbours.neighbour_sharing` returns it;
        - ``categories``, as `agentrec.semantic_ids.purity.prefix_purity` returns it.

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
        "additive_error": None if vectors is None else additive_error(vectors, codes, seed=seed),
        "levels": levels(codes, None if codebooks is None else [len(book) for book in codebooks]),
        "items_per_first_code": first_code_loads(codes),
        "collision_rate": collision_rate(codes),
        "group_histogram": {str(size): count for size, count in groups.items()},
        "largest_group": max(groups),
        "neighbours": None if vectors is None else neighbour_sharing(vectors, codes, metric=metric, seed=seed),
        "categories": None if categories is None else prefix_purity(codes, categories, seed=seed),
    }


def first_code_loads(codes: IntArray) -> dict[str, float]:
    """Fewest, median and most items that share a first code; codes without items do not count."""
    sizes = groups(codes[:, :1])[1]
    return {"min": int(sizes.min()), "median": float(np.median(sizes)), "max": int(sizes.max())}


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
