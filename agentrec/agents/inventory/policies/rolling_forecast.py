"""Rolling forecast and base stock: forecast the periods to cover afresh each time, and order up to a quantile of them.

Forecasts are the mean of recent periods, or (``ets``, extra ``forecast``) the exponential smoothing model that
statsforecast's AutoETS picks by information criterion; while fewer than ten periods are known, it is the mean. The
level is the forecast of the promised lead time and one period more, and z(p/(p+h)) deviations of past forecast errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from agentrec.agents.inventory.instances import Values
from agentrec.agents.inventory.observation import Observation
from agentrec.agents.inventory.policies.capped_base_stock import moments
from agentrec.core.config import setting
from agentrec.core.errors import ConfigError, require
from agentrec.core.types import IntArray

ENOUGH = 10  # periods before AutoETS is asked


@dataclass(frozen=True)
class Config:
    """How demand is forecast."""

    model: Literal["mean", "ets"] = setting("mean", "mean of the window, or AutoETS of statsforecast")
    window: int = setting(8, "periods that count for the mean and for the spread of errors")

    def __post_init__(self) -> None:
        if self.window < 2:
            raise ConfigError(f"window is {self.window}; expected at least 2 periods")


class RollingForecast:
    """Orders up to a quantile of forecast demand over the lead time and one period."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        if self.config.model == "ets":
            require("statsforecast", "forecast")

    def order(self, observation: Observation) -> IntArray:
        """Units to order now: (B,) int64."""
        demand = observation.seen.astype(np.float64)
        cover = observation.promised + 1
        recent, deviation = moments(observation.seen[:, -self.config.window :])
        mean, spread = cover * recent, np.sqrt(cover) * deviation
        if self.config.model == "ets" and demand.shape[1] >= ENOUGH:
            mean, spread = _ets(demand, cover)
        ratio = observation.profit / (observation.profit + observation.holding)
        wanted = mean + ndtri(ratio) * spread - observation.position
        return np.asarray(np.ceil(np.maximum(wanted, 0.0)), np.int64)


def _ets(demand: Values, cover: IntArray) -> tuple[Values, Values]:
    """Mean and deviation of demand over the periods to cover: two arrays (B,)."""
    from statsforecast.models import AutoETS

    means, spreads = np.zeros(len(demand)), np.zeros(len(demand))
    for row, (series, periods) in enumerate(zip(demand, cover.tolist(), strict=True)):
        made = AutoETS(season_length=1).forecast(y=series, h=periods, fitted=True)
        means[row] = np.maximum(made["mean"], 0.0).sum()
        spreads[row] = np.sqrt(periods) * np.std(series - made["fitted"], ddof=1)
    return means, spreads


METHOD = RollingForecast
