"""How sure a mean over units is, and whether one system beats another on the same units.

Intervals are percentile bootstrap intervals over units (users). All columns share one set of resampled units, so
intervals of systems and of their differences belong together. Where a system was trained with several seeds, every
resample draws units and seeds, each with replacement: seeds are shared by all units, so an interval over units alone
would call a lucky seed a finding (the pigeonhole bootstrap of Owen, 2007). Where seeds are drawn anew for each unit
(nested), a unit is drawn with all its seeds. Two systems are compared by their difference per unit (paired t test over
units, after the mean over seeds), and Holm's correction keeps the chance of any false claim among the comparisons
shown below alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentrec.core.rng import generator

Values = NDArray[np.float64]

CHUNK = 4_000_000  # resampling weights held at once: 32 MB


class Intervals(NamedTuple):
    """Means over units with their percentile intervals: three arrays (M,) float64."""

    mean: Values
    low: Values
    high: Values


class Paired(NamedTuple):
    """Mean difference per unit, first minus second, its interval, and the two-sided p values.

    ``holm`` is the p value corrected for all comparisons of one family; ``deviation`` the standard deviation of the
    differences over units; ``seeds_ahead`` how many seeds have a positive mean difference, where a seed without any
    difference speaks against the side that is ahead on average.
    """

    difference: float
    low: float
    high: float
    p_value: float
    holm: float
    deviation: float
    seeds_ahead: int


def resampled_means(columns: Sequence[Values], *, nested: bool = False, resamples: int = 1000, seed: int = 0) -> Values:
    """Means of each column over units, and seeds, drawn with replacement.

    Every resample becomes a vector of how often each unit was drawn, so that its means are one matrix product; the
    draws depend on the numbers of units and seeds and on the seed of the draws alone.

    Args:
        columns: M arrays (S_m, U) float64, a row per seed; NaN where a unit has no value: it is left out of the mean.
        nested: seeds belong to units, and are averaged before anything is drawn.
        resamples: R, how many times to draw.
        seed: seed of the draws.

    Returns:
        (R, M) float64; NaN where a resample has no value at all.

    Raises:
        ValueError: there are no units, no resamples, or the arrays do not fit.
    """
    stacked = _stacked(columns)
    num_units = stacked.shape[1]
    if not num_units or resamples < 1:
        raise ValueError(f"there are {num_units} units and {resamples} resamples; expected at least 1 of both")
    per_row = _weighted_means(stacked, resamples, generator(seed, "bootstrap"))
    found = np.empty((resamples, len(columns)))
    start, draws = 0, {}
    for place, column in enumerate(columns):
        size = len(column)
        if size not in draws:
            draws[size] = _seed_weights(size, resamples, nested=nested, seed=seed)
        drawn = np.where(draws[size] > 0, per_row[:, start : start + size], 0.0)  # a seed not drawn may be undefined
        found[:, place] = np.einsum("rs,rs->r", drawn, draws[size])
        start += size
    return found


def _stacked(columns: Sequence[Values]) -> Values:
    arrays = [np.asarray(column, np.float64) for column in columns]
    if not arrays or any(array.ndim != 2 or not len(array) for array in arrays):
        raise ValueError(f"arrays of shapes {[array.shape for array in arrays]}; expected (S, U) each, S at least 1")
    if len({array.shape[1] for array in arrays}) != 1:
        raise ValueError(f"arrays of shapes {[array.shape for array in arrays]}; expected one U for all")
    return np.concatenate(arrays)


def _weighted_means(values: Values, resamples: int, rng: np.random.Generator) -> Values:
    """Means (R, X) over resampled units of values (X, U), NaN left out."""
    num_units = values.shape[1]
    undefined = np.isnan(values)
    gaps = np.flatnonzero(undefined.any(axis=1))
    filled = np.where(undefined, 0.0, values).T
    defined = (~undefined[gaps]).astype(np.float64).T
    means = np.empty((resamples, len(values)))
    step = max(1, CHUNK // num_units)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        weights = np.empty((size, num_units))
        for row in range(size):
            weights[row] = np.bincount(rng.integers(num_units, size=num_units), minlength=num_units)
        part = weights @ filled / num_units
        if len(gaps):
            with np.errstate(invalid="ignore", divide="ignore"):
                part[:, gaps] /= weights @ defined / num_units
        means[start : start + size] = part
    return means


def _seed_weights(num_seeds: int, resamples: int, *, nested: bool, seed: int) -> Values:
    """How much each of S seeds counts in each resample: (R, S), rows that sum to 1."""
    if nested or num_seeds == 1:
        return np.full((resamples, num_seeds), 1.0 / num_seeds)
    drawn = generator(seed, "seeds").integers(num_seeds, size=(resamples, num_seeds))
    return np.stack([(drawn == number).mean(axis=1) for number in range(num_seeds)], axis=1)


def bootstrap_intervals(
    columns: Sequence[Values],
    *,
    nested: bool = False,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Mean over seeds and units of every column, with a percentile bootstrap interval.

    Args:
        columns: M arrays (S_m, U) float64, NaN where a unit has no value.
        nested: see `resampled_means`.
        resamples: how many times units are drawn.
        confidence: probability mass between ``low`` and ``high``.
        seed: seed of the draws.

    Returns:
        `Intervals` of (M,) arrays; NaN for a column without any value.

    Raises:
        ValueError: there are no units, or ``confidence`` is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected a value between 0 and 1")
    means = resampled_means(columns, nested=nested, resamples=resamples, seed=seed)
    limits = np.full((2, len(columns)), np.nan)
    for place, drawn in enumerate(means.T):
        kept = drawn[~np.isnan(drawn)]
        if len(kept):
            limits[:, place] = np.quantile(kept, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Intervals(np.array([seed_means(column).mean() for column in columns]), *limits)


def seed_means(values: Values) -> Values:
    """Mean over units at each seed, NaN left out: (S, U) float64 -> (S,) float64, NaN where nothing is defined."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=1)
    total = np.where(defined, values, 0.0).sum(axis=1)
    means: Values = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return means


def compare_paired(
    pairs: Sequence[tuple[Values, Values]],
    *,
    nested: bool = False,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Paired]:
    """Compare systems on the same units, and correct for the number of comparisons.

    Args:
        pairs: the family of comparisons shown together: two arrays (S, U) each, column by column the same unit; one
            side may have a single row, for all seeds of the other.
        nested: see `resampled_means`.
        resamples: how many times units are drawn.
        confidence: probability mass of each interval; the intervals are not corrected.
        seed: seed of the draws.

    Returns:
        One `Paired` per pair, in order.

    Raises:
        ValueError: arrays that do not fit, or no units.
    """
    if not pairs:
        return []
    sides = [np.asarray(side, np.float64) for pair in pairs for side in pair]
    if len({side.shape[-1] for side in sides}) != 1 or any(side.ndim != 2 for side in sides):
        raise ValueError("the arrays have different shapes; expected (S, U) each, for the same units")
    differences = [np.asarray(first, np.float64) - second for first, second in pairs]
    intervals = bootstrap_intervals(differences, nested=nested, resamples=resamples, confidence=confidence, seed=seed)
    per_unit = [seed_means(difference.T) for difference in differences]
    p_values = np.array([paired_p_value(column[~np.isnan(column)]) for column in per_unit])
    adjusted = holm(p_values)
    return [
        Paired(
            difference=float(intervals.mean[place]),
            low=float(intervals.low[place]),
            high=float(intervals.high[place]),
            p_value=float(p_values[place]),
            holm=float(adjusted[place]),
            deviation=_deviation(per_unit[place]),
            seeds_ahead=_seeds_ahead(seed_means(difference)),
        )
        for place, difference in enumerate(differences)
    ]


def _seeds_ahead(differences: Values) -> int:
    return int((differences >= 0 if differences.mean() < 0 else differences > 0).sum())


def _deviation(values: Values) -> float:
    kept = values[~np.isnan(values)]
    return float(kept.std(ddof=1)) if len(kept) > 1 else 0.0


def paired_p_value(differences: Values) -> float:
    """Two-sided p value that the mean difference is 0, by the paired t test.

    Where all units differ by the same amount the t statistic is undefined; the exact sign test answers instead:
    ``2 ** (1 - U)``, or 1 where there is no difference at all.

    Args:
        differences: (U,) float64.

    Returns:
        A number in [0, 1].
    """
    if not len(differences):
        return 1.0
    if np.ptp(differences) > 1e-12 * np.abs(differences).max():
        from scipy.stats import ttest_1samp  # takes a second to load

        return float(ttest_1samp(differences, 0.0).pvalue)
    return 1.0 if differences[0] == 0 else min(1.0, 2.0 ** (1 - len(differences)))


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
