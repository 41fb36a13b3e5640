"""The last codes that tell all items of a prefix apart at the least squared error ("ZCR").

Within every prefix (the codes before the last level) that holds colliding items, the Hungarian method gives these items
last codes of their own so that the sum of squared errors is smallest; items that had their codes to themselves stay.
Prefixes with more items than codes hand some to others as `next_best` does, and what the Hungarian method improves is
its answer: the error is never larger than that of `next_best`.

``moves`` says who may move. Published zero-collision files of RQ-KMeans and QuaSID move no more than the surplus: the
first levels are the same as before, one item of every group keeps its codes, nobody else changes (``"surplus"``).
With ``"colliding"`` all items of a group may move, and with ``"prefix"`` all items of a prefix in which one collides:
each has less error than the one before. Codes in use by others (``Problem.taken``) never move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from agentrec.core.config import setting
from agentrec.core.types import IntArray
from agentrec.semantic_ids.collisions.distances import last_level_costs
from agentrec.semantic_ids.collisions.groups import row_keys
from agentrec.semantic_ids.collisions.next_best import by_prefix, nearest_free, surplus
from agentrec.semantic_ids.collisions.problem import Problem, Resolved, distinct


@dataclass(frozen=True)
class Config:
    """Settings of `ZeroCollision`."""

    moves: Literal["surplus", "colliding", "prefix"] = setting(
        "colliding", "who may move: all but one of a group, whole groups, or whole prefixes in which items collide"
    )


def movable(problem: Problem, codes: IntArray, moves: str) -> NDArray[np.bool_]:
    """Items that may get other last codes than they have: (N,) bool.

    Args:
        problem: the codes of the quantiser.
        codes: (N, L) int64, those of `next_best`.
        moves: as in `Config`.
    """
    may = surplus(problem) if moves == "surplus" else problem.colliding | (codes != problem.codes).any(axis=1)
    if moves == "prefix":
        prefixes = row_keys(codes[:, :-1])
        may = np.isin(prefixes, prefixes[may])
    return may


class ZeroCollision:
    """Reassigns last codes inside prefixes at minimum cost.

    Args:
        config: settings.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()

    def resolve(self, problem: Problem) -> Resolved:
        """Solve every prefix in which items collide.

        Raises:
            DataError: distances cannot be had, or there are more items than codes.
        """
        codes = nearest_free(problem)
        may = movable(problem, codes, self.config.moves)
        rows = np.flatnonzero(may)
        rows = rows[np.argsort(problem.order[rows])]
        for some, parts, used in by_prefix(codes, rows, np.concatenate([codes[~may], problem.blocked])):
            costs = last_level_costs(problem, some, codes[some, :-1])
            for part, gone in zip(parts, used, strict=True):
                free = np.setdiff1d(np.arange(problem.level_sizes[-1]), gone)
                members, places = linear_sum_assignment(costs[np.ix_(part, free)].astype(np.float64))
                codes[some[part[members]], -1] = free[places]
        return distinct(problem, codes)


METHOD = ZeroCollision
