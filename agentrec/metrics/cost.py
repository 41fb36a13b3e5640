"""What answers cost: latency percentiles, an estimate of energy, and money for tokens.

Arithmetic on numbers that somebody else measured. Nothing here reads a meter or knows a price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

PERCENTILES = (50, 90, 95, 99)
MILLION = 1_000_000


def latency_percentiles(seconds: ArrayLike, percentiles: Sequence[float] = PERCENTILES) -> dict[str, float]:
    """Percentiles of latency by name such as ``p95``, linear between samples.

    A high percentile of few samples is little more than their maximum: p99 wants some hundred samples.

    Args:
        seconds: (S,) seconds of each request.
        percentiles: between 0 and 100.

    Raises:
        ValueError: there are no samples, or one is negative or no number.

    Example:
        >>> latency_percentiles([0.1, 0.2, 0.3], percentiles=[50])
        {'p50': 0.2}
    """
    samples = np.asarray(seconds, np.float64).ravel()
    if not samples.size or not np.isfinite(samples).all() or samples.min() < 0:
        raise ValueError(f"there are {samples.size} samples of seconds; expected some, and all of 0 or more")
    found = np.percentile(samples, percentiles)
    return {f"p{place:g}": float(value) for place, value in zip(percentiles, found, strict=True)}


class EnergyEstimate(NamedTuple):
    """Watt hours, and everything they were computed from; ``_asdict()`` is what a result records.

    ``assumption`` says in words where the watts come from.
    """

    watt_hours: float
    seconds: float
    watts: float
    assumption: str


def energy_estimate(seconds: float, watts: float, *, assumption: str) -> EnergyEstimate:
    """Estimate energy as ``seconds * watts / 3600``.

    An estimate, not a measurement: it takes the device to draw the same power all the time. With a data sheet's rated
    power it is rather an upper bound for that device; it leaves out everything else (memory, cooling, network). Use it
    to compare runs on one machine, not machines.

    Args:
        seconds: busy time.
        watts: mean power of the device.
        assumption: where ``watts`` comes from, for example ``"rated power of one H200"``.

    Raises:
        ValueError: seconds or watts are negative or no number, or the assumption is empty.

    Example:
        >>> energy_estimate(1800, 700, assumption="rated power of one H200").watt_hours
        350.0
    """
    if not (0 <= seconds < np.inf and 0 <= watts < np.inf):
        raise ValueError(f"energy of {seconds} seconds at {watts} watts; expected two numbers of 0 or more")
    if not assumption.strip():
        raise ValueError("the assumption is empty; expected where the watts come from, so that a result can say it")
    return EnergyEstimate(seconds * watts / 3600.0, float(seconds), float(watts), assumption)


class Tokens(NamedTuple):
    """Tokens that a model read and wrote; ``cached`` of the ones read were billed as cached."""

    read: int
    written: int
    cached: int = 0


class Price(NamedTuple):
    """Price of a million tokens, in one currency of the caller's choice; cached ones cost as ``read`` if not given."""

    read: float
    written: float
    cached: float | None = None


def price_of_tokens(used: Mapping[str, Tokens], prices: Mapping[str, Price]) -> float:
    """Money for tokens, in the currency of the price table.

    Args:
        used: model -> tokens.
        prices: model -> price of a million tokens.

    Raises:
        ValueError: a model has no price, or more tokens are cached than read.

    Example:
        >>> price_of_tokens({"small": Tokens(2_000_000, 500_000)}, {"small": Price(0.5, 2.0)})
        2.0
    """
    total = 0.0
    for model, tokens in used.items():
        if model not in prices:
            raise ValueError(f"the price table has no {model!r}, only {', '.join(sorted(prices))}; add its price")
        if min(tokens) < 0 or tokens.cached > tokens.read:
            raise ValueError(f"{model!r} used {tokens}; expected counts of 0 or more, and cached ones among those read")
        price = prices[model]
        cached = price.read if price.cached is None else price.cached
        fresh = tokens.read - tokens.cached
        total += (fresh * price.read + tokens.cached * cached + tokens.written * price.written) / MILLION
    return total
