"""Colliding items move to the nearest free code of the last level, cheapest move first.

Of a group, the item that its code describes best stays, and the others move within their prefix (the codes before the
last level). The move that leaves the smallest squared error is made first, then the smallest of those that remain.
Where a prefix has no free code, the item climbs to the longest part of its prefix under which codes are free, and goes
down again, to the nearest code of each level that leads to a free one. Nobody else moves. Level sizes stay, so new
items need no new tokens. Where all codes are given away, the policy refuses; it never appends a level.

What it does not know: what is best for all. `zero_collision` starts from its answer and improves it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids.collisions.distances import (
    CHUNK,
    last_level_costs,
    row_errors,
    squared_distances,
)
from agentrec.semantic_ids.collisions.groups import row_keys
from agentrec.semantic_ids.collisions.problem import Problem, Resolved, distinct


@dataclass(frozen=True)
class Config:
    """Settings of `NextBest`: there are none."""


def surplus(problem: Problem) -> NDArray[np.bool_]:
    """Items that cannot keep their codes: (N,) bool.

    All whose codes are in use by others; of each further group, all but the one with the smallest squared error.
    """
    vectors, books = problem.space()
    rows = np.flatnonzero(problem.colliding)
    keys = row_keys(np.concatenate([problem.codes, problem.blocked]))
    taken = np.isin(keys[rows], keys[problem.num_items :])
    errors = row_errors(vectors[rows], problem.codes[rows], books)
    order = np.lexsort((problem.order[rows], errors, keys[rows]))
    first = np.ones(len(rows), bool)
    first[1:] = np.diff(keys[rows][order]) != 0
    leaves = np.ones(len(rows), bool)
    leaves[order[first]] = False
    found = np.zeros(problem.num_items, bool)
    found[rows] = leaves | taken
    return found


def by_prefix(
    codes: IntArray, moving: IntArray, fixed: IntArray
) -> Iterator[tuple[IntArray, list[IntArray], list[IntArray]]]:
    """Moving items prefix by prefix, many prefixes at a time.

    Args:
        codes: (N, L) int64.
        moving: (n,) items that want a last code.
        fixed: (F, L) int64, rows of codes that stay.

    Yields:
        Items, prefixes back to back; how they split into prefixes; and per prefix the last codes that are not free.
    """
    keys = row_keys(np.concatenate([codes[moving], fixed])[:, :-1])
    mine, theirs = keys[: len(moving)], keys[len(moving) :]
    moving, mine = moving[np.argsort(mine, kind="stable")], np.sort(mine)
    order = np.argsort(theirs, kind="stable")
    prefixes, starts = np.unique(mine, return_index=True)
    stops = np.append(starts[1:], len(mine))
    low = np.searchsorted(theirs[order], prefixes)
    high = np.searchsorted(theirs[order], prefixes, side="right")
    begin = 0
    while begin < len(prefixes):
        end = max(begin + 1, int(np.searchsorted(stops, starts[begin] + CHUNK, side="right")))
        rows = moving[starts[begin] : stops[end - 1]]
        parts = np.split(np.arange(len(rows)), stops[begin : end - 1] - starts[begin])
        used = [fixed[order[low[place] : high[place]], -1] for place in range(begin, end)]
        yield rows, parts, used
        begin = end


def cheapest_first(costs: FloatArray) -> IntArray:
    """Give rows one column each, the cheapest pair first; of equals the first row, then the first column.

    Args:
        costs: (n, F) float32.

    Returns:
        (n,) int64 column of every row, ``-1`` for rows that found none left.
    """
    chosen = np.full(len(costs), -1, np.int64)
    open_ = costs.copy()
    for _ in range(min(costs.shape)):
        row, column = divmod(int(open_.argmin()), costs.shape[1])
        chosen[row] = column
        open_[row], open_[:, column] = np.inf, np.inf
    return chosen


def nearest_free(problem: Problem) -> IntArray:
    """Codes with distinct rows, none of them in use: (N, L) int64. See the module.

    Raises:
        DataError: distances cannot be had, or there are more items than codes.
    """
    problem.check_room()
    codes, moves = problem.codes.copy(), surplus(problem)
    movers = np.flatnonzero(moves)
    movers = movers[np.argsort(problem.order[movers])]
    fixed = np.concatenate([codes[~moves], problem.blocked])
    left: list[int] = []
    for rows, parts, used in by_prefix(codes, movers, fixed):
        costs = last_level_costs(problem, rows, codes[rows, :-1])
        for part, gone in zip(parts, used, strict=True):
            free = np.setdiff1d(np.arange(problem.level_sizes[-1]), gone)
            chosen = cheapest_first(costs[np.ix_(part, free)])
            codes[rows[part[chosen >= 0]], -1] = free[chosen[chosen >= 0]]
            left += rows[part[chosen < 0]].tolist()
    if left:
        stays = np.ones(problem.num_items, bool)
        stays[left] = False
        spilled = np.array(left)[np.argsort(problem.order[left])]
        _spill(problem, codes, spilled, np.concatenate([codes[stays], problem.blocked]))
    return codes


def _spill(problem: Problem, codes: IntArray, rows: IntArray, fixed: IntArray) -> None:
    """Move items out of full prefixes, one after the other; writes ``codes``."""
    vectors, books = problem.space()
    sizes, levels = problem.level_sizes, problem.num_levels
    fixed = np.unique(fixed, axis=0)
    used = [Counter(map(tuple, fixed[:, :length].tolist())) for length in range(levels + 1)]
    room = [math.prod(sizes[length:]) for length in range(levels + 1)]
    for row in rows.tolist():
        path = tuple(codes[row].tolist())
        depth = next(length for length in range(levels - 1, -1, -1) if used[length][path[:length]] < room[length])
        path = path[:depth]
        left = vectors[row].astype(np.float32)
        for level, code in enumerate(path):
            left = left - books[level][code]
        for level in range(depth, levels):
            book = books[level]
            full = [used[level + 1][(*path, code)] >= room[level + 1] for code in range(sizes[level])]
            code = int(np.where(full, np.inf, squared_distances(left[None], book)[0]).argmin())
            path, left = (*path, code), left - book[code]
        codes[row] = path
        for length in range(levels + 1):
            used[length][path[:length]] += 1


class NextBest:
    """Moves surplus items to free codes nearby.

    Args:
        config: settings.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()

    def resolve(self, problem: Problem) -> Resolved:
        """Move all but one item of every colliding group.

        Raises:
            DataError: distances cannot be had, or there are more items than codes.
        """
        return distinct(problem, nearest_free(problem))


METHOD = NextBest
