"""Even clusters: centres fitted to an assignment in which crowded centres cost more.

Every centre asks a price, which rises while it has more than N / K points and falls while it has fewer (the dual
ascent of the transport problem whose capacities are N / K); a point goes where squared distance and price are least.
Only fitting is balanced: whatever is encoded later goes to its nearest centre, so that codes do not depend on the
company, and use is as even as the centres lie.
"""

from __future__ import annotations

import numpy as np

from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.kmeans import directions, means

ROUNDS = 60  # of prices
SMALLER = 0.9  # how much smaller the steps of prices become each round
STEPS = 10  # of assigning and averaging


def balanced_codes(points: FloatArray, centres: FloatArray, highest: float) -> IntArray:
    """The centre of each point under prices: (N, D), (K, D) float32 -> (N,) int64.

    Args:
        points: N rows.
        centres: K rows.
        highest: prices lie between minus and plus this many times the mean squared distance of a point to its nearest
            centre; 0 gives the nearest centres, 5 and more nearly equal shares.
    """
    wide = points.astype(np.float64)
    cost = (centres.astype(np.float64) ** 2).sum(axis=1) - 2.0 * wide @ centres.T.astype(np.float64)
    typical = float(np.mean((wide**2).sum(axis=1) + cost.min(axis=1)))
    share, prices = len(points) / len(centres), np.zeros(len(centres))
    codes = best = np.asarray(cost.argmin(axis=1), np.int64)
    least = np.inf
    for number in range(ROUNDS):
        excess = np.bincount(codes, minlength=len(centres)) / share - 1.0
        if (uneven := float((excess**2).sum())) < least:
            best, least = codes, uneven
        step = typical * SMALLER**number
        prices = np.clip(prices + step * np.clip(excess, -1.0, 1.0), -highest * typical, highest * typical)
        codes = np.asarray((cost + prices).argmin(axis=1), np.int64)
    return best


def balanced_centres(points: FloatArray, centres: FloatArray, *, highest: float, spherical: bool) -> FloatArray:
    """Move centres until they suit an even assignment; as many come back: (N, D), (K, D) float32 -> (K, D) float32."""
    for _ in range(STEPS):
        codes = balanced_codes(points, centres, highest)
        moved = means(points, codes, len(centres))
        if spherical:
            moved = directions(moved, 0.0)
        used = np.bincount(codes, minlength=len(centres)) > 0
        centres = np.where(used[:, None], moved, centres)
    return centres
