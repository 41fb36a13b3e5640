"""(s, S): waits until the position falls to s, then orders up to S; for players to whom every order costs something.

Levels come from the power approximation of Ehrhardt and Mosier (1984) for normal demand over the lead time and one
period. The game itself charges nothing per order; ``order_cost`` says what it costs the player. It believes the
promised lead time, and counts lost orders as coming.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agentrec.agents.inventory.instances import Values
from agentrec.agents.inventory.observation import Observation
from agentrec.agents.inventory.policies.capped_base_stock import base_stock, moments
from agentrec.core.config import setting
from agentrec.core.errors import ConfigError
from agentrec.core.types import IntArray


@dataclass(frozen=True)
class Config:
    """What an order costs."""

    order_cost: float = setting(20.0, "cost of placing one order, in the unit of profit; above 0")

    def __post_init__(self) -> None:
        if not self.order_cost > 0:
            raise ConfigError(
                f"order_cost is {self.order_cost}; expected a number above 0, or use capped_base_stock without one"
            )


def reorder_levels(mean: Values, deviation: Values, lead_time: IntArray, ratio: Values, relative: Values) -> Values:
    """The levels s and S.

    With ``c = 1 + L`` periods to cover, ``Q = 1.3 m^.494 K^.506 (1 + c s^2 / m^2)^.116``, ``z = sqrt(Q / (sqrt(c) s)
    h/p)``, ``s = .973 c m + sqrt(c) s (.183/z + 1.063 - 2.192 z)``, ``S = s + Q``. Where Q is at most 1.5 mean demands
    both levels are capped by the base-stock level of the same ratio.

    Args:
        mean: (B,) m, per period.
        deviation: (B,) s, per period.
        lead_time: (B,) int64, L.
        ratio: (B,) p / (p + h).
        relative: (B,) K, cost of an order over holding cost per unit and period.

    Returns:
        (2, B) float64: s, then S.
    """
    cover = 1.0 + lead_time
    mean, spread = np.maximum(mean, 1e-9), np.sqrt(cover) * np.maximum(deviation, 1e-9)
    quantity = 1.3 * mean**0.494 * relative**0.506 * (1 + (spread / mean) ** 2) ** 0.116
    z = np.sqrt(quantity / spread * (1 - ratio) / ratio)
    point = 0.973 * cover * mean + spread * (0.183 / z + 1.063 - 2.192 * z)
    full = base_stock(mean, deviation, lead_time, ratio)
    small = quantity <= 1.5 * mean
    low = np.where(small, np.minimum(point, full), point)
    high = np.where(small, np.minimum(point + quantity, full), point + quantity)
    return np.stack([low, high])


class ReorderPoint:
    """Orders up to S once stock and orders have fallen to s."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()

    def order(self, observation: Observation) -> IntArray:
        """Units to order now: (B,) int64."""
        mean, deviation = moments(observation.seen)
        ratio = observation.profit / (observation.profit + observation.holding)
        relative = self.config.order_cost / observation.holding
        low, high = reorder_levels(mean, deviation, observation.promised, ratio, relative)
        due = observation.position <= low
        return np.asarray(np.ceil(np.where(due, np.maximum(high - observation.position, 0.0), 0.0)), np.int64)


METHOD = ReorderPoint
