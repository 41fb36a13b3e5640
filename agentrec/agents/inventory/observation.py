"""What a player sees before ordering, and nothing else.

Demand of the period and after, true lead times, whether an order was lost, and how long the game lasts have no place
here; so no policy can use them. An order that never arrives stays in transit for ever, as in the published game.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agentrec.agents.inventory.instances import Values
from agentrec.core.errors import DataError
from agentrec.core.types import IntArray

WAITING = -1  # in ``arrived``: nothing came yet, and nobody knows whether it will


@dataclass(frozen=True, eq=False)
class Observation:
    """B instances before the order of period ``t``.

    Attributes:
        history: (B, H) int64, demand before the game.
        demand: (B, t) int64, demand of the periods so far, sold or not.
        orders: (B, t) int64, what was ordered in each of them.
        arrived: (B, t) int64, the period in which the order of each period arrived; ``-1`` where nothing did.
        on_hand: (B,) int64, units in stock.
        promised: (B,) int64, the lead time that was promised.
        profit: (B,) float64, per unit sold.
        holding: (B,) float64, per unit and period.

    Raises:
        DataError: shapes that do not fit.
    """

    history: IntArray
    demand: IntArray
    orders: IntArray
    arrived: IntArray
    on_hand: IntArray
    promised: IntArray
    profit: Values
    holding: Values

    def __post_init__(self) -> None:
        size, period = self.demand.shape
        shapes = {name: getattr(self, name).shape for name in ("orders", "arrived")}
        shapes |= {name: (*getattr(self, name).shape, period) for name in ("on_hand", "promised", "profit", "holding")}
        wrong = next((name for name, shape in shapes.items() if shape != (size, period)), None)
        if wrong is not None or len(self.history) != size:
            raise DataError(
                f"{wrong or 'history'} has shape {getattr(self, wrong or 'history').shape} beside demand of shape "
                f"{self.demand.shape}; expected a row per instance and a column per period so far"
            )

    def __len__(self) -> int:
        return len(self.demand)

    @property
    def period(self) -> int:
        """The period about to be played, from 0."""
        return int(self.demand.shape[1])

    @property
    def seen(self) -> IntArray:
        """(B, H + t) int64, all demand known."""
        return np.concatenate([self.history, self.demand], axis=1)

    @property
    def in_transit(self) -> IntArray:
        """(B,) int64, units ordered that did not arrive, lost ones among them."""
        return np.asarray(np.where(self.arrived == WAITING, self.orders, 0).sum(axis=1), np.int64)

    @property
    def position(self) -> IntArray:
        """(B,) int64, the inventory position: in stock and in transit."""
        return self.on_hand + self.in_transit

    def take(self, rows: IntArray) -> Observation:
        """The chosen instances, in that order."""
        fields = ("history", "demand", "orders", "arrived", "on_hand", "promised", "profit", "holding")
        return Observation(*(getattr(self, name)[rows] for name in fields))
