"""Perfect foresight: the most that anybody could have earned, knowing all demand and every true lead time.

No linear program is needed. A unit sold in period t that arrived in period a earns ``p - h (t - a)``, so nothing beats
the latest arrival at or before t, if that is worth more than 0. Orders are unlimited and independent, so every unit of
demand can have its best at once: each arrival brings the demand of the periods until the next one, as far as holding
pays. Stock sells first come, first served, which is the plan itself. Tests compare it with brute force and with HiGHS.
"""

from __future__ import annotations

import numpy as np

from agentrec.agents.inventory.instances import LOST, Instances
from agentrec.core.types import IntArray


class PerfectForesight:
    """Plans all orders with everything known; a bound on policies, not one of them."""

    def plan(self, instances: Instances) -> IntArray:
        """The best orders: (B, T) int64."""
        size, periods = instances.demand.shape
        orders = np.zeros((size, periods), np.int64)
        rows = np.arange(size)
        carrier = _carriers(instances)
        latest, arrival = np.full(size, LOST), np.full(size, LOST)
        for period in range(periods):
            comes = carrier[:, period] != LOST
            latest = np.where(comes, carrier[:, period], latest)
            arrival = np.where(comes, period, arrival)
            worth = instances.profit > instances.holding * (period - arrival)
            served = (latest != LOST) & worth
            orders[rows[served], latest[served]] += instances.demand[served, period]
        return orders


def _carriers(instances: Instances) -> IntArray:
    """An order that arrives in each period, by the period of ordering: (B, T) int64, ``-1`` where none can."""
    size, periods = instances.demand.shape
    carrier = np.full((size, periods), LOST, np.int64)
    for placed in range(periods):
        due = placed + instances.lead_times[:, placed]
        fits = (instances.lead_times[:, placed] != LOST) & (due < periods)
        carrier[np.flatnonzero(fits), due[fits]] = placed
    return carrier


METHOD = PerfectForesight
