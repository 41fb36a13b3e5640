"""The inventory game: order, arrivals, demand, reward; exactly as InventoryBench plays it.

In period t an order of q units is placed, then everything due arrives, then demand is met from stock as far as it goes
(nothing is backordered), then profit is gained per unit sold and holding cost paid per unit left. Arrivals become known
with the next observation. The score of an instance is ``max(0, reward / (profit * total demand))``; 1 would need every
unit sold on the day it arrives, which no lead time above 0 allows. Source: InventoryBench (github.com/TianyiPeng).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from agentrec.agents.inventory.instances import LOST, Instances, Values
from agentrec.agents.inventory.observation import WAITING, Observation
from agentrec.core.errors import AgentrecError
from agentrec.core.types import IntArray


class PolicyError(AgentrecError):
    """A policy broke its contract: an order for every instance, in whole units of 0 or more."""


@runtime_checkable
class Policy(Protocol):
    """Says what to order from what may be seen. The same observation always gets the same answer."""

    def order(self, observation: Observation) -> IntArray:
        """Units to order now: (B,) int64, 0 or more."""


@runtime_checkable
class Planner(Protocol):
    """Knows everything beforehand: a bound for policies, not one of them."""

    def plan(self, instances: Instances) -> IntArray:
        """Units to order in every period: (B, T) int64, 0 or more."""


class Step(NamedTuple):
    """What one period brought: four arrays (B,), ``reward`` float64 and the others int64."""

    arrivals: IntArray
    sold: IntArray
    on_hand: IntArray
    reward: Values


@dataclass(frozen=True, eq=False)
class Played:
    """A finished game: arrays (B, T), ``reward`` float64 and the others int64.

    ``on_hand`` is what is left at the end of each period; ``score`` is (B,) float64.
    """

    orders: IntArray
    arrivals: IntArray
    sold: IntArray
    on_hand: IntArray
    reward: Values
    score: Values


class InventoryGame:
    """B instances played side by side, from empty shelves.

    Example:
        >>> from agentrec.agents.inventory.generate import Sizes, generate
        >>> instances = generate(["stationary"], Sizes(series=1))
        >>> game = InventoryGame(instances)
        >>> game.step(np.array([100])).arrivals.tolist()
        [100]
    """

    def __init__(self, instances: Instances) -> None:
        self.instances = instances
        size, periods = instances.demand.shape
        self._period = 0
        self._on_hand = np.zeros(size, np.int64)
        self._orders = np.zeros((size, periods), np.int64)
        self._arrived = np.full((size, periods), WAITING, np.int64)
        due = np.arange(periods) + instances.lead_times
        self._due = np.where(instances.lead_times == LOST, periods, due)

    @property
    def period(self) -> int:
        """The period about to be played, from 0."""
        return self._period

    @property
    def done(self) -> bool:
        """Whether all periods were played."""
        return self._period == self.instances.periods

    def observe(self) -> Observation:
        """What may be seen before ordering; copies, so that nobody can change the game through it."""
        known, period = self.instances, self._period
        return Observation(
            known.history.copy(),
            known.demand[:, :period].copy(),
            self._orders[:, :period].copy(),
            self._arrived[:, :period].copy(),
            self._on_hand.copy(),
            known.promised.copy(),
            known.profit.copy(),
            known.holding.copy(),
        )

    def step(self, orders: IntArray) -> Step:
        """Order, and play one period.

        Args:
            orders: (B,) int64, units, 0 or more.

        Raises:
            PolicyError: the game is over, or orders are no whole numbers of 0 or more, one per instance.
        """
        self._check(orders)
        known, period = self.instances, self._period
        self._orders[:, period] = orders
        due = (self._due[:, : period + 1] == period) & (self._orders[:, : period + 1] > 0)
        self._arrived[:, : period + 1][due] = period
        arrivals = np.where(due, self._orders[:, : period + 1], 0).sum(axis=1)
        stock = self._on_hand + arrivals
        sold = np.minimum(stock, known.demand[:, period])
        self._on_hand = stock - sold
        self._period += 1
        return Step(arrivals, sold, self._on_hand.copy(), known.profit * sold - known.holding * self._on_hand)

    def _check(self, orders: IntArray) -> None:
        if self.done:
            raise PolicyError(f"all {self.instances.periods} periods were played; expected no further order")
        if orders.shape != (len(self.instances),) or not np.issubdtype(orders.dtype, np.integer):
            raise PolicyError(
                f"orders have shape {orders.shape} and type {orders.dtype}; expected {(len(self.instances),)} and int64"
            )
        if len(orders) and orders.min() < 0:
            raise PolicyError(f"an order is {orders.min()}; expected 0 or more units")


def play(policy: Policy | Planner, instances: Instances) -> Played:
    """Play all instances to their end.

    Args:
        policy: asked once per period for all instances; or a planner, asked once.
        instances: B of them.

    Raises:
        PolicyError: the policy breaks its contract.
    """
    game = InventoryGame(instances)
    planned = policy.plan(instances) if isinstance(policy, Planner) else None
    orders, steps = [], []
    for period in range(instances.periods):
        chosen = policy.order(game.observe()) if planned is None else planned[:, period]  # type: ignore[union-attr]
        orders.append(chosen)
        steps.append(game.step(chosen))
    columns = [np.stack(column, axis=1) for column in zip(*steps, strict=True)]
    arrivals, sold, on_hand, reward = columns
    return Played(np.stack(orders, axis=1), arrivals, sold, on_hand, reward, score(instances, reward))


def score(instances: Instances, reward: Values) -> Values:
    """Normalised reward of each instance: ``max(0, sum(reward) / (profit * sum(demand)))``, (B,) float64.

    An instance without any demand scores 1 if nothing was lost on it, else 0.
    """
    best = instances.profit * instances.demand.sum(axis=1)
    total = reward.sum(axis=1)
    shares = np.divide(total, best, out=(total >= 0).astype(np.float64), where=best > 0)
    clipped: Values = np.maximum(shares, 0.0)
    return clipped
