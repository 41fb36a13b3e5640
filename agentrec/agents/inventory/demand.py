"""Demand processes: the ten families of InventoryBench, with parameters drawn near the published ones, and three more.

A family draws its parameters once per series and then gives demand for any period numbers, so that the periods before
the game come from the same process. Published variants fix parameters (level 100, change at period 16); here level 100
stays and the rest is drawn, so that nothing can be tuned to a single one. The three further families are not of the
benchmark: they look like retail series, with levels that wander, products that come and go, and periods without demand.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agentrec.agents.inventory.instances import Values
from agentrec.core.types import IntArray

Generator = np.random.Generator
Process = Callable[[Generator, IntArray], Values]
Curve = Callable[[Values], Values | float]

LEVEL = 100.0


def _normal(mean: Curve, deviation: Curve) -> Process:
    """Independent normal demand with a mean and a deviation that depend on the period."""

    def draw(rng: Generator, times: IntArray) -> Values:
        at = times.astype(np.float64)
        return np.asarray(rng.normal(mean(at), deviation(at), len(times)), np.float64)

    return draw


def _steps(starts: list[int], values: list[float]) -> Curve:
    """A curve that takes the next value at each start."""
    return lambda times: np.asarray(values)[np.searchsorted(starts, times, side="right")]


def stationary(rng: Generator) -> Process:
    """The same normal or uniform distribution in all periods."""
    if rng.random() < 0.25:
        half = rng.uniform(30, 60)
        return lambda rng, times: rng.uniform(LEVEL - half, LEVEL + half, len(times))
    deviation = rng.uniform(15, 40)
    return _normal(lambda times: LEVEL, lambda times: deviation)


def mean_increase(rng: Generator) -> Process:
    """The mean jumps up."""
    return _jump(rng, rng.uniform(1.4, 3.0))


def mean_decrease(rng: Generator) -> Process:
    """The mean drops."""
    return _jump(rng, rng.uniform(0.3, 0.8))


def _jump(rng: Generator, factor: float) -> Process:
    mean = _steps([int(rng.integers(10, 26))], [LEVEL, factor * LEVEL])
    noise = rng.uniform(0.15, 0.3)
    return _normal(mean, lambda times: noise * np.asarray(mean(times)))


def increasing_trend(rng: Generator) -> Process:
    """The mean rises by the same amount, or the same share, every period."""
    noise, slope, share = rng.uniform(0.1, 0.3), rng.uniform(1.0, 3.0), rng.uniform(1.01, 1.05)
    if rng.random() < 0.25:
        return _normal(lambda times: 0.5 * LEVEL * share**times, lambda times: noise * LEVEL)
    return _normal(lambda times: LEVEL + slope * times, lambda times: noise * LEVEL)


def decreasing_trend(rng: Generator) -> Process:
    """The mean falls by the same amount, or the same share, every period."""
    noise, slope, share = rng.uniform(0.1, 0.25), rng.uniform(1.5, 3.0), rng.uniform(0.95, 0.99)
    if rng.random() < 0.5:
        return _normal(lambda times: 2 * LEVEL * share**times, lambda times: noise * LEVEL)
    return _normal(lambda times: np.maximum(60 * slope - slope * times, 5.0), lambda times: noise * LEVEL)


def variance_change(rng: Generator) -> Process:
    """The mean stays, the deviation changes."""
    deviation = _steps([int(rng.integers(10, 26))], [rng.uniform(10, 45), rng.uniform(10, 45)])
    return _normal(lambda times: LEVEL, deviation)


def seasonal(rng: Generator) -> Process:
    """A wave of one period length."""
    length, height = float(rng.choice([4, 5, 7, 10, 12, 25])), rng.uniform(0.3, 0.6)
    phase, noise = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.2)
    return _normal(
        lambda times: LEVEL * (1 + height * np.sin(2 * np.pi * times / length + phase)), lambda times: noise * LEVEL
    )


def multi_changepoint(rng: Generator) -> Process:
    """Two changes of the mean."""
    first = int(rng.integers(8, 22))
    starts = [first, first + int(rng.integers(10, 22))]
    mean = _steps(starts, [LEVEL, *(LEVEL * rng.uniform(0.4, 2.0, 2))])
    noise = rng.uniform(0.15, 0.3)
    return _normal(mean, lambda times: noise * np.asarray(mean(times)))


def temporary(rng: Generator) -> Process:
    """A surge or a dip that passes, back to the old level or to one near it."""
    first = int(rng.integers(8, 30))
    factor = rng.uniform(1.5, 3.0) if rng.random() < 0.5 else rng.uniform(0.2, 0.6)
    mean = _steps([first, first + int(rng.integers(3, 11))], [LEVEL, factor * LEVEL, rng.uniform(0.8, 1.3) * LEVEL])
    noise = rng.uniform(0.15, 0.3)
    return _normal(mean, lambda times: noise * np.asarray(mean(times)))


def autocorrelated(rng: Generator) -> Process:
    """An AR(1) process that begins at its mean."""
    keep, noise = rng.uniform(-0.4, 0.8), rng.uniform(10, 25)

    def draw(rng: Generator, times: IntArray) -> Values:
        away, path = 0.0, []
        for shock in rng.normal(0.0, noise, len(times)):
            away = keep * away + float(shock)
            path.append(LEVEL + away)
        return np.array(path)

    return draw


def wandering(rng: Generator) -> Process:
    """A level that wanders by shares, with noise of heavy tails: like weekly sales of a retail article."""
    wander, noise = rng.uniform(0.05, 0.2), rng.uniform(0.1, 0.35)

    def draw(rng: Generator, times: IntArray) -> Values:
        walk = np.cumsum(rng.normal(0.0, wander, len(times)))
        shocks = noise * rng.standard_t(5, len(times)).clip(-4, 4)
        return np.asarray(LEVEL * np.exp(walk + shocks - noise**2 / 2), np.float64)

    return draw


def life_cycle(rng: Generator) -> Process:
    """A product that is taken up, peaks and fades."""
    peak, breadth, noise = rng.uniform(8, 30), rng.uniform(6, 15), rng.uniform(0.15, 0.35)

    def mean(times: Values) -> Values:
        return np.asarray(2 * LEVEL * np.exp(-0.5 * ((times - peak) / breadth) ** 2) + 5, np.float64)

    return _normal(mean, lambda times: noise * mean(times))


def intermittent(rng: Generator) -> Process:
    """Poisson demand with many periods of none."""
    none, level = rng.uniform(0.2, 0.6), rng.uniform(4, 20)
    return lambda rng, times: np.where(rng.random(len(times)) >= none, rng.poisson(level, len(times)), 0.0)


FAMILIES: dict[str, Callable[[Generator], Process]] = {
    function.__name__: function
    for function in (
        stationary,
        mean_increase,
        mean_decrease,
        increasing_trend,
        decreasing_trend,
        variance_change,
        seasonal,
        multi_changepoint,
        temporary,
        autocorrelated,
    )
}
FURTHER: dict[str, Callable[[Generator], Process]] = {
    function.__name__: function for function in (wandering, life_cycle, intermittent)
}
FROM_START = {"increasing_trend", "decreasing_trend", "seasonal", "autocorrelated", "wandering", "life_cycle"}
