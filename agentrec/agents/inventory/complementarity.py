"""Complementarity: at least which share of people does better with help than alone, when nobody can be seen doing both?

Let Y0 be a person's outcome alone and Y1 with help (larger is better). Only their distributions F0 and F1 are seen, in
two groups or two rounds, never their joint law. For every t,

    F0(t) = P(Y0 <= t) = P(Y0 <= t, Y1 > t) + P(Y0 <= t, Y1 <= t)  <=  P(Y1 > Y0) + F1(t),

because Y0 <= t < Y1 implies Y1 > Y0. So ``P(Y1 > Y0) >= sup_t (F0(t) - F1(t))``, for any joint law and any
distributions; no better bound follows from F0 and F1 alone (Makarov 1981; Fan and Park 2010). It is 0 where help never
moves anybody's outcome upwards in distribution, which does not show that nobody is helped.

The plug-in estimate is the one-sided Kolmogorov-Smirnov statistic. It is too high in small samples, where the maximum
finds noise, and resampled maxima are higher still; percentiles of those would be no interval. With G for the difference
F0 - F1 seen, and G* for a resampled one, the bootstrap limits are ``max G - q(max(G* - G))`` and ``max G + q(max(G -
G*))``, where q is a high quantile over resamples: a band around all of G, hence around its maximum wherever that lies.
Beside it stands a limit that is certain in every sample size: with ``e(n) = sqrt(log(2 / alpha) / (2 n))``, the
inequality of Dvoretzky, Kiefer, Wolfowitz and Massart gives ``max(F0 - F1) >= estimate - e(n0) - e(n1)`` with
probability ``1 - alpha``, whatever the distributions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from agentrec.agents.inventory.instances import Values
from agentrec.core.errors import DataError
from agentrec.core.rng import generator
from agentrec.core.types import IntArray

LEAST_FOR_MASSART = 0.5  # the one-sided inequality holds for error probabilities of at most a half


class LowerBound(NamedTuple):
    """At least this share of people does better with help.

    Attributes:
        estimate: sup of F0 - F1 in the samples, clipped at 0.
        low: lower end of the bootstrap interval of that bound.
        high: its upper end.
        certain: lower limit that holds with the same confidence in samples of any size.
        at: the outcome at which the two distributions differ most.
    """

    estimate: float
    low: float
    high: float
    certain: float
    at: float


def complementarity_lower_bound(
    alone: ArrayLike, helped: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> LowerBound:
    """Bound the share of people who do better with help from below.

    Args:
        alone: (n0,) outcomes without help.
        helped: (n1,) outcomes with help, of other people or of another round; larger is better.
        confidence: probability mass of the interval; ``certain`` holds with this probability.
        resamples: how many times people are drawn anew, group by group.
        seed: of the draws.

    Raises:
        DataError: fewer than 2 outcomes in a group, or outcomes that are not numbers.
        ValueError: confidence or resamples are out of range.

    Example:
        >>> bound = complementarity_lower_bound([0, 0, 1, 1] * 50, [1, 1, 1, 1] * 50)
        >>> bound.estimate
        0.5
    """
    if not LEAST_FOR_MASSART <= confidence < 1 or resamples < 1:
        raise ValueError(f"confidence is {confidence} and resamples {resamples}; expected .5 to 1, and at least 1")
    before, after = _outcomes(alone, "alone"), _outcomes(helped, "helped")
    grid = np.unique(np.concatenate([before, after]))
    gaps = _distribution(before, grid) - _distribution(after, grid)
    estimate = max(0.0, float(gaps.max()))
    rng = generator(seed, "complementarity")
    moved = _resampled(before, grid, resamples, rng) - _resampled(after, grid, resamples, rng) - gaps
    down, up = (float(np.quantile(side.max(axis=1), (1 + confidence) / 2)) for side in (moved, -moved))
    error = sum(float(np.sqrt(np.log(2 / (1 - confidence)) / (2 * len(group)))) for group in (before, after))
    return LowerBound(
        estimate,
        max(0.0, estimate - down),
        min(1.0, estimate + up),
        max(0.0, estimate - error),
        float(grid[int(gaps.argmax())]),
    )


def _outcomes(values: ArrayLike, name: str) -> Values:
    found = np.asarray(values, np.float64).ravel()
    if len(found) < 2 or not np.isfinite(found).all():
        raise DataError(
            f"outcomes {name!r} are {len(found)} values, {int((~np.isfinite(found)).sum())} no numbers; expected "
            "at least 2 numbers"
        )
    return found


def _distribution(values: Values, grid: Values) -> Values:
    """Empirical distribution function on a grid: (n,) and (G,) -> (G,)."""
    share: Values = np.searchsorted(np.sort(values), grid, side="right") / len(values)
    return share


def _resampled(values: Values, grid: Values, resamples: int, rng: np.random.Generator) -> Values:
    """Distribution functions of samples drawn with replacement: (R, G)."""
    places = np.searchsorted(grid, values)
    weights: IntArray = np.bincount(places, minlength=len(grid))
    counts = rng.multinomial(len(values), weights / len(values), size=resamples)
    shares: Values = np.cumsum(counts, axis=1) / len(values)
    return shares
