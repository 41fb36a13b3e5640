"""Collisions stay; items that share their codes are ordered by popularity or in item order.

The codes of the quantiser are all there is: nothing moves and nothing is appended. A generator then names a group, and
the order says which of its items is meant first. A `SIDVocabulary` wants distinct rows, and decoding ends in one item:
`agentrec sids fit` and `compare` refuse this policy. It serves reports, and generators over *groups*: `SharedCodes`
holds the distinct rows (build the vocabulary of them, and map histories by ``group_of``), and its `expand` turns the
groups that the beam found into items, in the order of the tie-break.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentrec.core.config import setting
from agentrec.core.errors import DataError
from agentrec.core.types import PAD, IntArray, Recommendations
from agentrec.semantic_ids.collisions.append import check_popularity, numbers
from agentrec.semantic_ids.collisions.groups import groups
from agentrec.semantic_ids.collisions.problem import Problem, Resolved


@dataclass(frozen=True)
class Config:
    """Settings of `Keep`."""

    order: Literal["item", "popularity"] = setting("popularity", "who comes first in a group")


class Keep:
    """Keeps all codes and orders the items of every group.

    Args:
        config: settings.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()

    def resolve(self, problem: Problem) -> Resolved:
        """Order items: ``ranks`` of the answer.

        Raises:
            DataError: popularity is not known, or codes are in use by others, who have no rank.
        """
        if problem.taken is not None:
            raise DataError("collisions 'keep' orders a whole catalogue; expected no codes in use, so pass all items")
        order = problem.order if self.config.order == "item" else check_popularity(problem, "keep")
        return Resolved(problem.codes.copy(), problem.level_sizes, numbers(problem, order), problem.num_levels)


@dataclass(frozen=True)
class SharedCodes:
    """Distinct codes and the items behind each, in the order of a tie-break.

    Attributes:
        codes: (G, L) int64, distinct, in ascending order.
        group_of: (N,) int64, row of ``codes`` of every item.
        offsets: (G + 1,) int64; group g owns ``items[offsets[g]:offsets[g + 1]]``.
        items: (N,) int64.

    Example:
        >>> shared = SharedCodes.of(Keep(Config("item")).resolve(Problem(np.array([[1], [0], [1]]))))
        >>> shared.expand(Recommendations(np.array([[1, 0]]), np.array([[-1.0, -2.0]], np.float32)), 3).items.tolist()
        [[0, 2, 1]]
    """

    codes: IntArray
    group_of: IntArray
    offsets: IntArray
    items: IntArray

    @classmethod
    def of(cls, resolved: Resolved) -> SharedCodes:
        """From the answer of `Keep`."""
        group, sizes = groups(resolved.codes)
        items = np.lexsort((resolved.ranks, group))
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return cls(resolved.codes[items[offsets[:-1]]], group, offsets, items)

    def expand(self, groups_: Recommendations, n: int) -> Recommendations:
        """Recommended groups as items: each group gives all of its items, in order, with its score.

        Args:
            groups_: (U, m) groups, padded with ``-1``.
            n: list length.

        Returns:
            (U, n) items, padded with ``-1``.
        """
        sizes = np.append(np.diff(self.offsets), 0)[groups_.items]  # -1 finds the 0
        items = np.full((len(sizes), n), PAD, np.int64)
        scores = np.full((len(sizes), n), -np.inf, np.float32)
        counts = sizes.sum(axis=1)
        users = np.repeat(np.arange(len(sizes)), counts)
        flat = sizes.ravel()
        within = np.arange(flat.sum()) - np.repeat(np.cumsum(flat) - flat, flat)
        place = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
        shown = place < n
        found = self.items[np.repeat(self.offsets[groups_.items.ravel()], flat) + within]
        items[users[shown], place[shown]] = found[shown]
        scores[users[shown], place[shown]] = np.repeat(groups_.scores.ravel(), flat)[shown]
        return Recommendations(items, scores)


METHOD = Keep
