"""How many users a difference needs to be found: the power of the paired t test.

A planner's sum: it takes the difference and its standard deviation as if they were the true ones. Taken from the run
that is being judged, they say no more than its p value already does; what they add is how large the next run has to
be. Differences per user are seldom normal; for means over hundreds of users that hardly matters.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

FEWEST = 2  # a standard deviation needs two users
MOST = 2**60


def users_needed(mean_difference: float, standard_deviation: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """The fewest users with whom the two-sided paired t test finds a difference with the given power.

    Exact, by the noncentral t distribution. Where all users differ by the same amount the t test is undefined, and
    the answer is that of the exact sign test: the fewest U with ``2 ** (1 - U) <= alpha``.

    Args:
        mean_difference: mean over users of one system's value minus the other's; the sign does not matter.
        standard_deviation: of those differences over users.
        alpha: chance to find a difference where there is none.
        power: chance to find this one.

    Returns:
        2 or more.

    Raises:
        ValueError: the difference is 0, which no number of users finds; or a value is out of range.

    Example:
        >>> users_needed(0.5, 1.0)
        34
    """
    _check(mean_difference, standard_deviation, alpha, power)
    if mean_difference == 0:
        raise ValueError("the difference is 0; expected another value, since no number of users finds none")
    if standard_deviation == 0:
        return max(FEWEST, math.ceil(1 - math.log2(alpha)))
    effect = abs(mean_difference) / standard_deviation
    high = FEWEST
    while _power(effect, high, alpha) < power:
        high *= 2
        if high > MOST:
            raise ValueError(f"the difference {mean_difference:g} is too small beside {standard_deviation:g} to count")
    low = high // 2  # too few, or below the fewest
    while high - low > 1:
        middle = (low + high) // 2
        enough = middle >= FEWEST and _power(effect, middle, alpha) >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def detectable_difference(
    standard_deviation: float, num_users: int, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest difference that the two-sided paired t test finds with the given power.

    Args:
        standard_deviation: of the differences over users.
        num_users: U, 2 or more.
        alpha: chance to find a difference where there is none.
        power: chance to find this one.

    Returns:
        A size without sign; 0 where all users differ by the same amount.

    Raises:
        ValueError: there are fewer than two users, or a value is out of range.

    Example:
        >>> round(detectable_difference(1.0, 34), 3)
        0.495
    """
    from scipy.optimize import brentq

    _check(0.0, standard_deviation, alpha, power)
    if num_users < FEWEST:
        raise ValueError(f"there are {num_users} users; expected {FEWEST} or more")
    if power <= alpha:  # found as often by chance alone
        return 0.0
    high = 1.0
    while _power(high, num_users, alpha) < power:
        high *= 2.0
    effect = brentq(lambda size: _power(size, num_users, alpha) - power, 0.0, high, xtol=1e-15, rtol=1e-12)
    return float(effect) * standard_deviation


def power_note(
    mean_difference: float, standard_deviation: float, num_users: int, *, alpha: float = 0.05, power: float = 0.8
) -> str:
    """One sentence for a report: how many users a difference needs, how many there are, and what those would find.

    Args:
        mean_difference: mean over users of one system's value minus the other's.
        standard_deviation: of those differences over users.
        num_users: U, 2 or more.
        alpha: chance to find a difference where there is none.
        power: chance to find this one.

    Raises:
        ValueError: as `users_needed` and `detectable_difference`, save that a difference of 0 has a sentence too.

    Example:
        >>> power_note(0.0031, 0.0812, 2000).partition(";")[0]
        'this difference of +0.0031 needs about 5,400 users to be found in 4 of 5 samples'
    """
    smallest = detectable_difference(standard_deviation, num_users, alpha=alpha, power=power)
    chance = _samples(power)
    if mean_difference == 0:
        _check(mean_difference, standard_deviation, alpha, power)
        return (
            f"no number of users finds a difference of 0; with the {num_users:,} there are, one of "
            f"{smallest:.2g} would be found in {chance}"
        )
    needed = users_needed(mean_difference, standard_deviation, alpha=alpha, power=power)
    said = f"this difference of {mean_difference:+.2g} needs {_about(needed, num_users)} users to be found in {chance}"
    if needed <= num_users:
        return f"{said}; there are {num_users:,}, enough"
    return f"{said}; there are {num_users:,}, with whom a difference of {smallest:.2g} would be found as often"


def _power(effect: float, num_users: int, alpha: float) -> float:
    """Chance that the t test finds a mean of ``effect`` standard deviations with ``num_users`` users."""
    from scipy import stats  # takes a second to load

    free = num_users - 1
    shift = effect * math.sqrt(num_users)
    border = stats.t.isf(alpha / 2, free)
    upper = stats.nct.sf(border, free, shift) if shift else alpha / 2
    lower = stats.nct.cdf(-border, free, shift) if shift else alpha / 2
    return float(upper + np.nan_to_num(lower))  # the wrong tail is beyond the reach of scipy where it is nothing


def _samples(power: float) -> str:
    chance = Fraction(power).limit_denominator(100)
    return f"{chance.numerator} of {chance.denominator} samples"


def _about(needed: int, num_users: int) -> str:
    """A number rounded to two digits, unless that would turn too few users into enough or the other way round."""
    digits = len(str(needed)) - 2
    rounded = round(needed, -digits) if digits > 0 else needed
    if rounded == needed or (rounded <= num_users) != (needed <= num_users):
        return f"{needed:,}"
    return f"about {rounded:,}"


def _check(mean_difference: float, standard_deviation: float, alpha: float, power: float) -> None:
    if not (math.isfinite(mean_difference) and 0 <= standard_deviation < math.inf):
        raise ValueError(
            f"the difference is {mean_difference}, its standard deviation {standard_deviation}; expected two numbers, "
            "the second 0 or more"
        )
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha is {alpha}, power {power}; expected values between 0 and 1")
