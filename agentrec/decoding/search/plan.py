"""How wide a search is at every level, and how that follows the load of a server.

After GR4AD (arXiv 2602.22732): few beams while prefixes are coarse, many where items are told apart; under load all of
them shrink by one factor, read from a table with some inertia so that it does not flutter.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentrec.core.errors import ConfigError


@dataclass(frozen=True)
class BeamPlan:
    """Beams per level.

    Attributes:
        widths: beams kept after each level; the last one holds for all further levels.
        precut: continuations that a single beam may propose; all by default. A small number keeps one strong beam from
            taking every place, and the search is then no longer the plain one.
        groups: split the beams evenly by their first code, so that no first code has more than its share: diverse
            beams. 1 is the plain search.
    """

    widths: tuple[int, ...] = (20,)
    precut: int | None = None
    groups: int = 1

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ConfigError(f"the beam plan has widths {self.widths}; expected one or more, each at least 1")
        if self.precut is not None and self.precut < 1:
            raise ConfigError(f"the beam plan has precut {self.precut}; expected at least 1, or None")
        if self.groups < 1 or any(width % self.groups for width in self.widths):
            raise ConfigError(
                f"the beam plan has {self.groups} groups and widths {self.widths}; expected groups that divide each"
            )
        if self.groups > 1 and self.precut is not None:
            raise ConfigError("the beam plan has groups and a precut; expected one of them")

    def at(self, level: int, level_sizes: Sequence[int] | None) -> int:
        """Width after a level: as planned, and never more beams than there are code sequences.

        In groups, the first level keeps one beam per group. Without level sizes beams may repeat, and the plan holds.
        """
        if level_sizes is None:
            return self.widths[min(level, len(self.widths) - 1)]
        if self.groups > 1:
            share = self.widths[min(level, len(self.widths) - 1)] // self.groups
            below = math.prod(level_sizes[1 : level + 1])
            return min(self.groups, level_sizes[0]) * min(share, below)
        return min(self.widths[min(level, len(self.widths) - 1)], math.prod(level_sizes[: level + 1]))

    def scaled(self, factor: float, *, least: int = 1) -> BeamPlan:
        """All widths times a factor, rounded to whole groups, and none below ``least``.

        Args:
            factor: above 0.
            least: usually the length of the list that is asked for.
        """
        if not factor > 0:
            raise ConfigError(f"the beam plan is scaled by {factor}; expected a factor above 0")
        step = self.groups
        floor = math.ceil(least / step) * step
        return replace(self, widths=tuple(max(floor, step * round(width * factor / step)) for width in self.widths))


@dataclass(frozen=True)
class LoadStep:
    """From this load on, widths are multiplied by this factor."""

    load: float
    factor: float


class LoadPolicy:
    """A factor for the widths from the load of a server, with inertia; safe to share between threads.

    The factor falls as soon as a step's load is reached, and rises again only when the load is ``hysteresis`` below it.

    Args:
        steps: rising by load; below the first one the factor is ``idle``.
        hysteresis: in units of load.
        idle: factor below all steps; above 1 where there is time to spare.

    Example:
        >>> policy = LoadPolicy([LoadStep(0.7, 0.5)], hysteresis=0.2)
        >>> [policy(load) for load in (0.5, 0.8, 0.6, 0.4)]
        [1.0, 0.5, 0.5, 1.0]
    """

    def __init__(self, steps: Sequence[LoadStep], *, hysteresis: float = 0.0, idle: float = 1.0) -> None:
        loads = [step.load for step in steps]
        if loads != sorted(set(loads)) or min([idle, *(step.factor for step in steps)]) <= 0 or hysteresis < 0:
            raise ConfigError(
                f"the load policy has steps {list(steps)}, idle {idle} and hysteresis {hysteresis}; expected rising "
                "loads, factors above 0 and a hysteresis of 0 or more"
            )
        self.steps = tuple(steps)
        self.hysteresis = hysteresis
        self.idle = idle
        self._reached = 0  # steps in force
        self._lock = threading.Lock()

    def __call__(self, load: float) -> float:
        """The factor at a load: requests waiting, share of busy time, or whatever the steps are counted in."""
        with self._lock:
            while self._reached < len(self.steps) and load >= self.steps[self._reached].load:
                self._reached += 1
            while self._reached and load < self.steps[self._reached - 1].load - self.hysteresis:
                self._reached -= 1
            return self.steps[self._reached - 1].factor if self._reached else self.idle
