"""Capped base stock: the OR baseline that InventoryBench publishes.

Demand is taken as normal with the mean m and deviation s of everything seen; a lead time of L gives the lead-time
demand ``mu = (1+L) m`` and ``sigma = sqrt(1+L) s``. It orders up to ``mu + z(p/(p+h)) sigma``, at most
``mu/(1+L) + z(.95) sigma/sqrt(1+L)`` at once. It believes the promised lead time and counts lost orders as coming,
which ruins it where orders are lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from agentrec.agents.inventory.instances import Values
from agentrec.agents.inventory.observation import Observation
from agentrec.core.config import setting
from agentrec.core.types import IntArray


@dataclass(frozen=True)
class Config:
    """How much is ordered at once."""

    cap: float = setting(0.95, "share of periods whose demand one order should cover; 1 for no cap")


def base_stock(mean: Values, deviation: Values, lead_time: IntArray, ratio: Values) -> Values:
    """Base-stock levels of normal demand: ``(1+L) m + z(ratio) sqrt(1+L) s``, all arrays (B,)."""
    cover = 1.0 + lead_time
    level: Values = cover * mean + ndtri(ratio) * np.sqrt(cover) * deviation
    return level


def moments(demand: IntArray) -> tuple[Values, Values]:
    """Mean and standard deviation (n - 1; 0 for a single period) per row: (B, n) -> two arrays (B,)."""
    spread = demand.std(axis=1, ddof=1) if demand.shape[1] > 1 else np.zeros(len(demand))
    return demand.mean(axis=1), spread


class CappedBaseStock:
    """Orders up to a fixed quantile of lead-time demand, and never much at once.

    Source: InventoryBench, the policy called OR.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()

    def order(self, observation: Observation) -> IntArray:
        """Units to order now: (B,) int64."""
        mean, deviation = moments(observation.seen)
        ratio = observation.profit / (observation.profit + observation.holding)
        level = base_stock(mean, deviation, observation.promised, ratio)
        wanted = np.maximum(level - observation.position, 0.0)
        if self.config.cap < 1:
            wanted = np.minimum(wanted, np.maximum(mean + ndtri(self.config.cap) * deviation, 0.0))
        return np.asarray(np.ceil(wanted), np.int64)


METHOD = CappedBaseStock
