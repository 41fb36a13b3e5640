"""How sure a mean over users is, and whether one recommender beats another on the same users.

Intervals are percentile bootstrap intervals over users. All columns share one set of resampled users, so intervals of
recommenders and of their differences belong together. Two recommenders are compared by their difference per user
(paired t test), and Holm's correction keeps the chance of any false claim among the comparisons shown below alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agentrec.core.rng import generator

Values = NDArray[np.float64]

CHUNK = 4_000_000  # resampling weights held at once: 32 MB


class Intervals(NamedTuple):
    """Means over users with their percentile intervals: three arrays (M,) float64."""

    mean: Values
    low: Values
    high: Values


class Paired(NamedTuple):
    """Mean difference per user, first minus second, its interval, and the two-sided p values.

    ``holm`` is the p value corrected for all comparisons of one family.
    """

    difference: float
    low: float
    high: float
    p_value: float
    holm: float


def resampled_means(values: Values, *, resamples: int = 1000, seed: int = 0) -> Values:
    """Means of each column over users drawn with replacement.

    Every resample becomes a vector of how often each user was drawn, so that its means are one matrix product; the
    draws depend on the number of users and the seed alone.

    Args:
        values: (U, M) float64, one row per user.
        resamples: R, how many times to draw.
        seed: seed of the draws.

    Returns:
        (R, M) float64.

    Raises:
        ValueError: there are no users, no resamples, or the values are not a matrix.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not len(values) or resamples < 1:
        raise ValueError(f"values of shape {values.shape}, {resamples} resamples; expected (U, M) and both at least 1")
    num_users = len(values)
    rng = generator(seed, "bootstrap")
    means = np.empty((resamples, values.shape[1]))
    step = max(1, CHUNK // num_users)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        weights = np.empty((size, num_users))
        for row in range(size):
            weights[row] = np.bincount(rng.integers(num_users, size=num_users), minlength=num_users)
        means[start : start + size] = weights @ values / num_users
    return means


def bootstrap_intervals(values: Values, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0) -> Intervals:
    """Mean over users of every column, with a percentile bootstrap interval.

    Args:
        values: (U, M) float64, one row per user, one column per metric.
        resamples: how many times users are drawn.
        confidence: probability mass between ``low`` and ``high``.
        seed: seed of the draws.

    Returns:
        `Intervals` of (M,) arrays.

    Raises:
        ValueError: there are no users, or ``confidence`` is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a value between 0 and 1")
    means = resampled_means(values, resamples=resamples, seed=seed)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return Intervals(np.asarray(values, np.float64).mean(axis=0), low, high)


def compare_paired(
    pairs: Sequence[tuple[Values, Values]], *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> list[Paired]:
    """Compare recommenders on the same users, and correct for the number of comparisons.

    Args:
        pairs: the family of comparisons shown together: two arrays (U,) each, row by row the same user.
        resamples: how many times users are drawn.
        confidence: probability mass of each interval; the intervals are not corrected.
        seed: seed of the draws.

    Returns:
        One `Paired` per pair, in order.

    Raises:
        ValueError: arrays of different length, or no users.
    """
    if not pairs:
        return []
    if len({np.shape(side) for pair in pairs for side in pair}) != 1:
        raise ValueError("the arrays have different shapes; expected one value per user, for the same users")
    differences = np.stack([np.asarray(first, np.float64) - second for first, second in pairs], axis=1)
    intervals = bootstrap_intervals(differences, resamples=resamples, confidence=confidence, seed=seed)
    p_values = paired_p_values(differences)
    columns = (*intervals, p_values, holm(p_values))
    return [Paired(*(float(value) for value in row)) for row in zip(*columns, strict=True)]


def paired_p_values(differences: Values) -> Values:
    """Two-sided p value that the mean difference of each column is 0, by the paired t test.

    Where all users differ by the same amount the t statistic is undefined; the exact sign test answers instead:
    ``2 ** (1 - U)``, or 1 where there is no difference at all.

    Args:
        differences: (U, M) float64.

    Returns:
        (M,) float64 in [0, 1].
    """
    num_users = len(differences)
    p_values = np.where(differences[0] == 0, 1.0, min(1.0, 2.0 ** (1 - num_users)))
    varying = np.ptp(differences, axis=0) > 1e-12 * np.abs(differences).max(axis=0, initial=0.0)
    if varying.any():
        p_values[varying] = stats.ttest_1samp(differences[:, varying], 0.0, axis=0).pvalue
    return np.asarray(p_values, np.float64)


def holm(p_values: Sequence[float] | Values) -> Values:
    """Holm's step-down correction: adjusted p values (M,) that keep the family-wise error rate.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted
