"""Even clusters: centres fitted to an assignment in which every centre gets about as many points (Sinkhorn).

Points are given out by optimal transport with an entropy term (Cuturi, arXiv:1306.0895): every point gives one unit,
every centre takes N / K. Only fitting is balanced: whatever is encoded later goes to its nearest centre, so that codes
do not depend on the company, and use is as even as the centres lie.
"""

from __future__ import annotations

import numpy as np

from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.kmeans import directions, means

ROUNDS = 20  # of scaling rows and columns
STEPS = 10  # of assigning and averaging


def balanced_codes(points: FloatArray, centres: FloatArray, epsilon: float) -> IntArray:
    """The centre that takes most of each point: (N, D), (K, D) float32 -> (N,) int64.

    Args:
        points: N rows.
        centres: K rows.
        epsilon: temperature, in units of the mean distance of a point to its nearest centre; the smaller, the more
            points stay with their nearest.
    """
    wide = points.astype(np.float64)
    cost = (centres.astype(np.float64) ** 2).sum(axis=1) - 2.0 * wide @ centres.T.astype(np.float64)
    least = cost.min(axis=1)
    typical = float(np.mean((wide**2).sum(axis=1) + least))
    cost -= least[:, None]
    plan = np.exp(-cost / (epsilon * max(typical, 1e-12)))
    share = len(points) / len(centres)
    for _ in range(ROUNDS):
        plan *= share / np.maximum(plan.sum(axis=0), 1e-300)
        plan /= np.maximum(plan.sum(axis=1, keepdims=True), 1e-300)
    return np.asarray(plan.argmax(axis=1), np.int64)


def balanced_centres(points: FloatArray, centres: FloatArray, *, epsilon: float, spherical: bool) -> FloatArray:
    """Move centres until they suit an even assignment; as many come back: (N, D), (K, D) float32 -> (K, D) float32."""
    for _ in range(STEPS):
        codes = balanced_codes(points, centres, epsilon)
        moved = means(points, codes, len(centres))
        if spherical:
            moved = directions(moved, 0.0)
        used = np.bincount(codes, minlength=len(centres)) > 0
        centres = np.where(used[:, None], moved, centres)
    return centres
