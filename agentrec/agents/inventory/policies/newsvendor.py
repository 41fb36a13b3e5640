"""Newsvendor: every order is meant for the one period in which it is promised to arrive.

It orders the p/(p+h) quantile of one period's demand, less what should be left of stock and orders by then at mean
demand. Demand is normal with the mean and deviation of everything seen, or just as seen (``empirical``). It believes
the promised lead time, and counts lost orders as coming.
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
from agentrec.core.types import IntArray


@dataclass(frozen=True)
class Config:
    """What demand is thought to be."""

    demand: Literal["normal", "empirical"] = setting("normal", "its distribution")


def newsvendor_quantity(demand: IntArray, ratio: Values, kind: Literal["normal", "empirical"] = "normal") -> Values:
    """The quantile of one period's demand: (B, n) int64 and ratios (B,) in (0, 1) -> (B,) float64.

    The empirical quantile is the smallest demand seen that covers ``ratio`` of all periods.
    """
    if kind == "normal":
        mean, deviation = moments(demand)
        quantity: Values = mean + ndtri(ratio) * deviation
        return quantity
    place = np.ceil(ratio * demand.shape[1] - 1e-9).astype(np.int64) - 1
    found: Values = np.sort(demand, axis=1)[np.arange(len(demand)), place.clip(0)].astype(np.float64)
    return found


class Newsvendor:
    """Orders the critical quantile of one period's demand, less what should be left when it arrives."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()

    def order(self, observation: Observation) -> IntArray:
        """Units to order now: (B,) int64."""
        seen = observation.seen
        ratio = observation.profit / (observation.profit + observation.holding)
        wanted = newsvendor_quantity(seen, ratio, self.config.demand)
        left = np.maximum(observation.position - observation.promised * seen.mean(axis=1), 0.0)
        return np.asarray(np.ceil(np.maximum(wanted - left, 0.0)), np.int64)


METHOD = Newsvendor
