"""Instances drawn from demand families and supplies, for tests, for choosing settings, and for practice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from agentrec.agents.inventory.demand import FAMILIES, FROM_START, FURTHER
from agentrec.agents.inventory.instances import LOST, Instances
from agentrec.core.config import setting
from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.core.rng import generator
from agentrec.core.types import IntArray


@dataclass(frozen=True)
class Supply:
    """How orders arrive: the lead time of each is drawn from ``leads``, all equally likely; ``-1`` is a lost order."""

    promised: int
    leads: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.promised < 0 or not self.leads or min(self.leads) < LOST:
            raise ConfigError(
                f"a supply promises {self.promised} and has lead times {self.leads}; expected a promise of 0 or more "
                "and at least one lead time of 0 or more, or -1 for lost"
            )


SUPPLIES = {
    "lead_time_0": Supply(0, (0,)),
    "lead_time_4": Supply(4, (4,)),
    "lead_time_stochastic": Supply(2, (1, 2, 3, LOST)),
}
PROFITS = (1.0, 4.0, 19.0)  # beside a holding cost of 1: ratios .50, .80 and .95


@dataclass(frozen=True)
class Sizes:
    """How many series of which length."""

    series: int = setting(6, "series per family")
    periods: int = setting(50, "periods of the game")
    history: int = setting(5, "periods before the game")
    scale: float = setting(1.0, "series are multiplied by a factor up to this large, or as small")

    def __post_init__(self) -> None:
        if min(self.series, self.periods, self.history) < 1 or self.scale < 1:
            raise ConfigError(
                f"sizes are {self}; expected at least 1 series, 1 period, 1 earlier period, and a scale of 1 or more"
            )


def generate(
    families: Iterable[str] = tuple(FAMILIES),
    sizes: Sizes | None = None,
    *,
    supply: Supply = SUPPLIES["lead_time_0"],
    seed: int = 0,
) -> Instances:
    """Draw instances; profits of 1, 4 and 19 take turns, and every series has lead times of its own.

    Args:
        families: names of `agentrec.agents.inventory.demand`, the ten of the benchmark by default.
        sizes: how many series of which length.
        supply: how orders arrive.
        seed: of everything drawn; a series depends on its family, its number and this alone.

    Returns:
        Instances with the label ``pattern``, family after family.

    Raises:
        UnknownNameError: there is no such family.
    """
    sizes = sizes or Sizes()
    known = FAMILIES | FURTHER
    rows = [(family, number) for family in families for number in range(sizes.series)]
    unknown = next((family for family, _ in rows if family not in known), None)
    if unknown is not None:
        raise UnknownNameError(f"there is no demand family {unknown!r}; those that exist are {', '.join(known)}")
    drawn = [_series(family, number, sizes, seed) for family, number in rows]
    chance = generator(seed, "supply", len(rows))
    leads = chance.choice(np.array(supply.leads, np.int64), size=(len(rows), sizes.periods))
    return Instances(
        tuple(f"{family}/{number}" for family, number in rows),
        np.stack([before for before, _ in drawn]),
        np.stack([played for _, played in drawn]),
        leads,
        np.full(len(rows), supply.promised, np.int64),
        np.array([PROFITS[number % len(PROFITS)] for _, number in rows]),
        np.ones(len(rows)),
        {"pattern": tuple(family for family, _ in rows)},
    )


def _series(family: str, number: int, sizes: Sizes, seed: int) -> tuple[IntArray, IntArray]:
    """Demand before and during the game."""
    rng = generator(seed, "series", family, number)
    process = (FAMILIES | FURTHER)[family](rng)
    factor = sizes.scale ** rng.uniform(-1.0, 1.0)
    times = np.arange(1, sizes.history + sizes.periods + 1)
    if family in FROM_START:  # one series, cut in two
        whole = process(rng, times)
        before, played = whole[: sizes.history], whole[sizes.history :]
    else:  # the game begins with the first segment, and so does what was before
        before, played = process(rng, np.ones(sizes.history, np.int64)), process(rng, times[: sizes.periods])
    return _units(factor * before), _units(factor * played)


def _units(demand: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> IntArray:
    return np.asarray(np.maximum(np.rint(demand), 0), np.int64)
