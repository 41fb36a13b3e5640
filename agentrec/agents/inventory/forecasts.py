"""Demand forecasts: a bank of simple forecasters, weighted by how well each would have done so far.

Every forecaster is linear in the demand seen (means, recent means, exponential smoothing, damped trends, AR(1), one
wave per season length), so that the whole bank is one matrix. Weights are discounted likelihoods of past forecasts
made at the time, one, two and four periods ahead; a change point shows as recent means taking the weight over. The
mixture, not its best member, is the forecast: where forecasters disagree, demand is uncertain in common over periods.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from agentrec.agents.inventory.instances import Values
from agentrec.core.config import setting

WINDOWS = (2, 3, 5, 8, 13)
SMOOTHING = (0.1, 0.25, 0.5)
TREND_DISCOUNTS = (1.0, 0.9, 0.8)
PERSISTENCE = (-0.3, 0.3, 0.6)
SEASONS = (4, 5, 6, 7, 8, 10, 12, 13, 20, 25, 26, 52)
SCORED = (1, 2, 4)  # periods ahead
KINDS = (
    *("mean",),
    *("window",) * len(WINDOWS),
    *("smooth",) * len(SMOOTHING),
    *("trend",) * len(TREND_DISCOUNTS),
    *("persist",) * len(PERSISTENCE),
    *("season",) * len(SEASONS),
)


@dataclass(frozen=True)
class Config:
    """How forecasters are weighted. Chosen as `agentrec.agents.inventory.policies.adaptive` says."""

    memory: float = setting(0.95, "weight of a past forecast relative to that of the period after it")
    sharpness: float = setting(0.5, "power of the likelihood; 0 weighs all forecasters by their prior alone")
    damping: float = setting(0.9, "share of a trend that is left after each further period, below 1")
    trend_prior: float = setting(0.3, "prior weight of a trend; a mean has 1")
    season_prior: float = setting(0.02, "prior weight of a season length; a mean has 1")
    caution: float = setting(2.0, "how many periods the spread of all demand counts as, in each forecaster's error")


class Mixture(NamedTuple):
    """Forecasts of E forecasters: ``means`` (B, E, A), ``deviations`` (B, E) one period ahead, ``weights`` (B, E)."""

    means: Values
    deviations: Values
    weights: Values


def forecast(demand: Values, ahead: int, config: Config) -> Mixture:
    """Forecast the next periods.

    Args:
        demand: (B, n) float64, n of 1 or more.
        ahead: A, how many periods.
        config: how forecasters are weighted.
    """
    spread = np.maximum(demand.std(axis=1), 0.05 * demand.mean(axis=1) + 0.5)
    prior = np.array([{"trend": config.trend_prior, "season": config.season_prior}.get(kind, 1.0) for kind in KINDS])
    logs = np.repeat(np.log(prior)[None], len(demand), axis=0)
    first = np.repeat(spread[:, None] ** 2, len(KINDS), axis=1)
    for step in SCORED:
        errors = past_errors(demand, step, config.damping)
        ages = np.arange(errors.shape[2])[::-1]
        weights = config.memory**ages
        squares = errors**2 @ weights
        known = weights.sum()
        variance = (squares + config.caution * spread[:, None] ** 2) / (known + config.caution)
        logs += config.sharpness * -0.5 * (squares / variance + known * np.log(variance))
        first = variance if step == 1 else first
    logs -= logs.max(axis=1, keepdims=True)
    weights = np.exp(logs)
    means = _apply(demand, bank(demand.shape[1], tuple(range(1, ahead + 1)), config.damping))
    return Mixture(means, np.sqrt(first), weights / weights.sum(axis=1, keepdims=True))


def past_errors(demand: Values, step: int, damping: float) -> Values:
    """Forecast minus demand ``step`` periods ahead, for every past period: (B, n) -> (B, E, n - step - 1).

    The forecast of a period saw only what came ``step`` or more periods before it, two periods at least.
    """
    size, length = demand.shape
    errors = np.zeros((size, len(KINDS), max(length - step - 1, 0)))
    for place in range(errors.shape[2]):
        known = place + 2
        made = _apply(demand[:, :known], bank(known, (step,), damping))[:, :, 0]
        errors[:, :, place] = made - demand[:, known + step - 1, None]
    return errors


def _apply(demand: Values, matrix: Values) -> Values:
    """Forecasts (B, E, A), never negative, of demand (B, n) by a bank (n, E, A)."""
    length, experts, ahead = matrix.shape
    flat = demand @ matrix.reshape(length, experts * ahead)
    made: Values = np.maximum(flat, 0.0).reshape(len(demand), experts, ahead)
    return made


@lru_cache(maxsize=1024)
def bank(length: int, ahead: tuple[int, ...], damping: float) -> Values:
    """All forecasters as one matrix on ``length`` periods: (n, E, A) float64, in the order of `KINDS`."""
    ages = np.arange(length)[::-1].astype(np.float64)
    steps = np.asarray(ahead, np.float64)
    level = [np.ones(length)]
    level += [(ages < window).astype(np.float64) for window in WINDOWS]
    level += [(1 - rate) ** ages for rate in SMOOTHING]
    columns = [np.repeat((weights / weights.sum())[:, None], len(steps), axis=1) for weights in level]
    columns += [_trend(ages, steps, discount, damping) for discount in TREND_DISCOUNTS]
    last, mean = np.eye(length)[-1], np.full(length, 1 / length)
    columns += [mean[:, None] + (last - mean)[:, None] * keep**steps for keep in PERSISTENCE]
    columns += [_season(length, steps, season) for season in SEASONS]
    made: Values = np.stack(columns, axis=1)
    made.setflags(write=False)
    return made


def _trend(ages: Values, steps: Values, discount: float, damping: float) -> Values:
    """Least squares on a line, older periods discounted; the slope is shrunk while periods are few, then damped."""
    weights = discount**ages
    weights /= weights.sum()
    centred = -ages + weights @ ages
    slope = weights * centred / max(float(weights @ centred**2), 1e-12) * len(ages) / (len(ages) + 3)
    reach = weights @ ages + damping * (1 - damping**steps) / (1 - damping)
    made: Values = weights[:, None] + slope[:, None] * reach
    return made


def _season(length: int, steps: Values, season: int) -> Values:
    """Least squares on one wave of a known length, slightly shrunk."""
    basis = _wave(np.arange(length, dtype=np.float64), season)
    solved = np.linalg.solve(basis.T @ basis + np.diag([1e-6, 0.5, 0.5]), basis.T)
    made: Values = (_wave(length - 1 + steps, season) @ solved).T
    return made


def _wave(times: Values, season: int) -> Values:
    turn = 2 * np.pi * times / season
    return np.stack([np.ones(len(times)), np.cos(turn), np.sin(turn)], axis=1)
