"""Instances of the inventory game: everything that decides how one goes, most of it hidden from who plays.

One product each. Instances of equal length stand together in arrays, so that array policies play all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agentrec.core.errors import DataError
from agentrec.core.files import array_hash
from agentrec.core.types import IntArray

Values = NDArray[np.float64]

LOST = -1  # the lead time of an order that never arrives
NAMED_LEADS = {0: "lead_time_0", 4: "lead_time_4"}


@dataclass(frozen=True, eq=False)
class Instances:
    """B instances of T periods.

    Attributes:
        names: one per instance, distinct.
        history: (B, H) int64, demand before the game.
        demand: (B, T) int64, demand of every period.
        lead_times: (B, T) int64, periods until the order of each period arrives; ``-1`` if it is lost.
        promised: (B,) int64, the lead time that the player is told.
        profit: (B,) float64, gained per unit sold; above 0.
        holding: (B,) float64, paid per unit left at the end of a period; above 0.
        labels: further columns, one text per instance, such as ``family`` and ``pattern``.

    Raises:
        DataError: shapes that do not fit, negative demand, or a profit or holding cost that is not above 0.
    """

    names: tuple[str, ...]
    history: IntArray
    demand: IntArray
    lead_times: IntArray
    promised: IntArray
    profit: Values
    holding: Values
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size, periods = self.demand.shape
        expected = {
            "history": (size, self.history.shape[1]),
            "lead_times": (size, periods),
            "promised": (size,),
            "profit": (size,),
            "holding": (size,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise DataError(f"{name} has shape {getattr(self, name).shape}; expected {shape}, one row per instance")
        if len(self.names) != size or any(len(column) != size for column in self.labels.values()):
            raise DataError(f"there are {len(self.names)} names for {size} instances; expected one name and label each")
        self._check_values()

    def _check_values(self) -> None:
        for name in ("history", "demand"):
            self._check(name, getattr(self, name) >= 0, "demand of 0 or more")
        self._check("lead_times", self.lead_times >= LOST, "0 or more, or -1 for a lost order")
        self._check("promised", self.promised >= 0, "a lead time of 0 or more")
        for name in ("profit", "holding"):
            values = getattr(self, name)
            self._check(name, np.isfinite(values) & (values > 0), "a number above 0")

    def _check(self, name: str, good: NDArray[np.bool_], expected: str) -> None:
        bad = np.argwhere(~good)
        if len(bad):
            found = getattr(self, name)[tuple(bad[0])]
            raise DataError(
                f"{name} of instance {self.names[int(bad[0][0])]!r} is {found}; expected {expected}, so correct it"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def periods(self) -> int:
        """T."""
        return int(self.demand.shape[1])

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits over everything that decides how games go."""
        arrays = (self.history, self.demand, self.lead_times, self.promised, self.profit, self.holding)
        return array_hash(*arrays, np.array(self.names))

    def take(self, rows: IntArray | slice) -> Instances:
        """The chosen instances, in that order."""
        index = np.arange(len(self))[rows]
        chosen = index.tolist()
        return Instances(
            tuple(self.names[row] for row in chosen),
            self.history[index],
            self.demand[index],
            self.lead_times[index],
            self.promised[index],
            self.profit[index],
            self.holding[index],
            {name: tuple(column[row] for row in chosen) for name, column in self.labels.items()},
        )


def stack(parts: Sequence[Instances]) -> list[Instances]:
    """Put instances of equal numbers of periods and of earlier periods together, in order of first appearance.

    Raises:
        DataError: parts of one shape have different labels.
    """
    groups: dict[tuple[int, int], list[Instances]] = {}
    for part in parts:
        groups.setdefault((part.periods, part.history.shape[1]), []).append(part)
    return [_joined(group) for group in groups.values()]


def _joined(parts: Sequence[Instances]) -> Instances:
    labels = set(parts[0].labels)
    if any(set(part.labels) != labels for part in parts):
        raise DataError("instances have different labels; expected the same ones for all, so load them alike")
    arrays = ("history", "demand", "lead_times", "promised", "profit", "holding")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    names = tuple(name for part in parts for name in part.names)
    return Instances(
        names,
        **joined,
        labels={name: tuple(text for part in parts for text in part.labels[name]) for name in sorted(labels)},
    )
