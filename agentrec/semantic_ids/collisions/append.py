"""A further level numbers the items that share their codes (TIGER, arXiv:2305.05065).

Nothing moves, so nothing is lost of what the codes say; but the number says nothing either, and a generator can only
learn it by heart. The level is as large as the largest group. New items take the smallest free number of their group,
which can make the level larger: a trained model then lacks tokens, unless ``size`` held some ready.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentrec.core.config import setting
from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import IntArray
from agentrec.semantic_ids.collisions.groups import ranks, row_keys
from agentrec.semantic_ids.collisions.problem import Problem, Resolved


@dataclass(frozen=True)
class Config:
    """Settings of `Append`."""

    order: Literal["item", "popularity"] = setting("item", "who gets the smaller number in a group")
    size: int = setting(0, "numbers on the further level; 0: as many as needed, and no level where nothing collides")

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ConfigError(f"append setting 'size' is {self.size}; expected 0 or more")


def append_level(codes: IntArray) -> IntArray:
    """Add a level that holds each item's rank among the items with the same codes, in item order.

    Args:
        codes: (N, L) int64.

    Returns:
        (N, L + 1) int64 with distinct rows; 0 in the last column for the first item of every group.

    Example:
        >>> append_level(np.array([[7, 1], [7, 2], [7, 1]])).tolist()
        [[7, 1, 0], [7, 2, 0], [7, 1, 1]]
    """
    problem = Problem(codes)
    return np.column_stack([problem.codes, numbers(problem, np.arange(len(codes)))])


def numbers(problem: Problem, order: IntArray) -> IntArray:
    """The smallest free number of every item among those with its codes: (N,) int64.

    Args:
        problem: codes, and those in use with their numbers.
        order: (N,) smaller comes first.
    """
    keys = row_keys(np.concatenate([problem.codes, problem.blocked]))
    _, group = np.unique(keys, return_inverse=True)
    new, old = np.split(group.reshape(-1), [problem.num_items])
    rank = ranks(new, order)
    if problem.taken is None:
        return rank
    rows = np.flatnonzero(np.isin(new, old))  # the others start from 0
    rows = rows[np.lexsort((rank[rows], new[rows]))]
    held = np.lexsort((problem.taken[:, -1], old))
    starts = np.searchsorted(old[held], np.unique(new[rows]))
    stops = np.searchsorted(old[held], np.unique(new[rows]), side="right")
    members = np.split(rows, np.flatnonzero(np.diff(new[rows])) + 1)
    for start, stop, waiting in zip(starts, stops, members, strict=True) if len(rows) else ():
        used = problem.taken[held[start:stop], -1]
        rank[waiting] = np.setdiff1d(np.arange(len(used) + len(waiting)), used)[: len(waiting)]
    return rank


def check_popularity(problem: Problem, policy: str) -> IntArray:
    """Counts that order items: the most popular first, then as `Problem.order`: (N,) int64 places.

    Raises:
        DataError: no counts were given.
    """
    if problem.popularity is None:
        raise DataError(f"collisions {policy!r} orders by popularity and has no counts; pass them, or use order='item'")
    place = np.empty(problem.num_items, np.int64)
    place[np.lexsort((problem.order, -np.asarray(problem.popularity)))] = np.arange(problem.num_items)
    return place


class Append:
    """Numbers the items of every colliding group on a further level.

    Args:
        config: settings.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()

    def resolve(self, problem: Problem) -> Resolved:
        """Add the level where an item collides, where the codes in use have it, or where its size is set.

        Raises:
            DataError: the codes in use have no such level, its size is too small, or popularity is not known.
        """
        if not (problem.numbered or self.config.size or problem.colliding.any()):
            zeros = np.zeros(problem.num_items, np.int64)
            return Resolved(problem.codes.copy(), problem.level_sizes, zeros, problem.num_levels)
        if problem.taken is not None and not problem.numbered:
            first = problem.name(int(problem.colliding.argmax()))
            raise DataError(
                f"{int(problem.colliding.sum())} new items collide, {first} for example, and the codes in use have no "
                "level that numbers items; expected one, so use collisions='next_best', which needs none"
            )
        order = problem.order if self.config.order == "item" else check_popularity(problem, "append")
        number = numbers(problem, order)
        needed = int(number.max()) + 1
        if self.config.size and needed > self.config.size:
            last = problem.name(int(number.argmax()))
            raise DataError(
                f"{needed} items share the codes of {last}; expected at most size={self.config.size} of append, so "
                "raise it"
            )
        held = 0 if problem.taken is None else int(problem.taken[:, -1].max()) + 1
        sizes = (*problem.level_sizes, max(needed, held, self.config.size))
        codes = np.column_stack([problem.codes, number])
        return Resolved(codes, sizes, np.zeros(problem.num_items, np.int64), problem.num_levels)


METHOD = Append
