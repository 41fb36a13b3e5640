"""Sinkhorn's balanced assignment of the last level inside colliding groups, then numbers (LC-Rec, arXiv:2311.09049).

Squared distances of a group's items to the codes of the last level, scaled to -1..1, become an assignment in which
every item has the same weight and every code the same load; each item takes its heaviest code. Groups in the same
prefix may choose the same code, so it is done again for what collides, 20 rounds at most; what still collides is
numbered by `append`. LC-Rec lets items move to codes of others, who then collide and move, too
(``free_only=False``); here, only codes that nobody outside the group has are open, so that nobody else moves.

Equal loads ask two items to fill all codes evenly, so that both leave their code for remote ones: this habit of the
published tokenisers costs several times the reconstruction that `next_best` or `zero_collision` cost. It is here to
compare with. Items with equal vectors have equal weights: no round tells them apart, and a level is appended for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentrec.core.config import setting
from agentrec.core.errors import ConfigError
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.collisions.append import Append
from agentrec.semantic_ids.collisions.distances import last_level_costs
from agentrec.semantic_ids.collisions.groups import row_keys
from agentrec.semantic_ids.collisions.problem import Problem, Resolved

CELLS = 2_000_000  # of the table of groups handled together; bounds memory


@dataclass(frozen=True)
class Config:
    """Settings of `Sinkhorn`."""

    rounds: int = setting(20, "times that colliding groups are assigned again, at most")
    epsilon: float = setting(0.003, "softness of the assignment")
    iterations: int = setting(50, "normalisations of items and codes per assignment")
    free_only: bool = setting(True, "open only codes that nobody outside the group has")

    def __post_init__(self) -> None:
        for name in ("rounds", "iterations"):
            if getattr(self, name) < 1:
                raise ConfigError(f"sinkhorn setting {name!r} is {getattr(self, name)}; expected 1 or more")
        if not 0.003 <= self.epsilon < float("inf"):
            raise ConfigError(
                f"sinkhorn setting 'epsilon' is {self.epsilon}; expected .003 or more, as exp(-2/.003) is "
                "about the smallest number there is"
            )


def balanced_codes(costs: FloatArray, allowed: NDArray[np.bool_], config: Config) -> IntArray:
    """Code of every item of groups of one size, by Sinkhorn's iteration.

    Args:
        costs: (G, n, K) float32 squared distances.
        allowed: (G, K) bool; at least one code per group.
        config: settings.

    Returns:
        (G, n) int64.
    """
    low, high = costs.min(axis=(1, 2), keepdims=True), costs.max(axis=(1, 2), keepdims=True)
    scaled = costs.astype(np.float64) / ((high - low) / 2 + 1e-5)  # LC-Rec's centring cancels below
    scaled = np.where(allowed[:, None, :], scaled, np.inf)
    weights = np.exp((scaled.min(axis=2, keepdims=True) - scaled) / config.epsilon)
    loads = np.ones((len(costs), costs.shape[2]))
    for _ in range(config.iterations):
        items = 1 / (costs.shape[1] * np.einsum("gnk,gk->gn", weights, loads))
        totals = allowed.sum(axis=1, keepdims=True) * np.einsum("gnk,gn->gk", weights, items)
        loads = np.divide(1, totals, out=np.zeros_like(totals), where=allowed & (totals > 0))
    found: IntArray = (weights * loads[:, None, :]).argmax(axis=2)
    return found


def _batches(sizes: IntArray, columns: int) -> Iterator[IntArray]:
    """Groups of equal size, few enough for one table: (g,) int64 group numbers."""
    for size in np.unique(sizes):
        same = np.flatnonzero(sizes == size)
        yield from np.array_split(same, -(-len(same) * int(size) * columns // CELLS))


class Sinkhorn:
    """Spreads colliding groups over the last level, and numbers what still collides.

    Args:
        config: settings.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()

    def resolve(self, problem: Problem) -> Resolved:
        """Assign, look again, and append.

        Raises:
            DataError: distances cannot be had, or items still collide and the codes in use have no level of numbers.
        """
        problem.space()
        now = problem
        for _ in range(self.config.rounds):
            codes = self._round(now)
            if np.array_equal(codes, now.codes):
                break
            now = replace(now, codes=codes)
        return Append().resolve(now)

    def _round(self, problem: Problem) -> IntArray:
        """Assign every colliding group once: (N, L) int64."""
        rows = np.flatnonzero(problem.colliding)
        codes = problem.codes.copy()
        if not len(rows):
            return codes
        keys = row_keys(codes)[rows]
        rows = rows[np.lexsort((problem.order[rows], keys))]
        _, starts, sizes = np.unique(np.sort(keys), return_index=True, return_counts=True)
        held = _Held.of(problem, self.config.free_only)
        for batch in _batches(sizes, problem.level_sizes[-1]):
            members = rows[starts[batch][:, None] + np.arange(sizes[batch[0]])]
            open_ = held.open(problem, members[:, 0])
            members, open_ = members[open_.any(axis=1)], open_[open_.any(axis=1)]
            if not len(members):  # every code is in use: numbers will tell them apart
                continue
            costs = last_level_costs(problem, members.ravel(), codes[members.ravel(), :-1])
            found = balanced_codes(costs.reshape(*members.shape, -1), open_, self.config)
            codes[members.ravel(), -1] = found.ravel()
        return codes


class _Held(NamedTuple):
    """Last codes that somebody has, by prefix."""

    prefixes: IntArray  # of every item
    taken: NDArray[np.bool_]  # items whose codes are in use
    theirs: IntArray  # prefixes of the codes that are held, ascending
    last: IntArray  # these codes

    @classmethod
    def of(cls, problem: Problem, free_only: bool) -> _Held:
        """Codes of all items and codes in use, or of the latter alone."""
        rows = np.concatenate([problem.codes, problem.blocked])
        prefixes, keys = row_keys(rows[:, :-1]), row_keys(rows)
        others = slice(None) if free_only else slice(problem.num_items, None)
        order = np.argsort(prefixes[others], kind="stable")
        mine, blocked = np.split(keys, [problem.num_items])
        taken = np.isin(mine, blocked)
        return cls(prefixes[: problem.num_items], taken, prefixes[others][order], rows[others, -1][order])

    def open(self, problem: Problem, firsts: IntArray) -> NDArray[np.bool_]:
        """The last codes that groups may take, by an item of each: (G,) items -> (G, K_L) bool.

        A group's own code is open to it, unless it is in use.
        """
        groups = np.arange(len(firsts))
        low = np.searchsorted(self.theirs, self.prefixes[firsts])
        counts = np.searchsorted(self.theirs, self.prefixes[firsts], side="right") - low
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        open_ = np.ones((len(firsts), problem.level_sizes[-1]), bool)
        open_[np.repeat(groups, counts), self.last[np.repeat(low, counts) + within]] = False
        open_[groups, problem.codes[firsts, -1]] = ~self.taken[firsts]
        return open_


METHOD = Sinkhorn
