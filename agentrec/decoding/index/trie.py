"""The trie of allowed items as one child table per level: readable, exact, fast enough for 100,000 items.

``tables[l][s, c]`` is the state reached from state s of level l by code c, or ``-1``. Level 0 has the one state 0. The
states of the next level are numbered in the order of their sorted prefixes; behind the last level stand item indexes.
Memory
is ``4 * sum_l states_l * K_l`` bytes (25 MB for 12,000 items with 256 codes); larger catalogues want
another class behind the same protocol (`agentrec.core.protocols.Constraint`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from agentrec.core.errors import DataError, EmptySetError
from agentrec.core.types import IntArray


class Trie:
    """The code sequences of a set of items.

    Args:
        tables: per level, (states_l, K_l) int32 next states, ``-1`` where no allowed item continues.

    Example:
        >>> trie = Trie.build(np.array([[0, 1], [1, 0]]), level_sizes=(2, 2))
        >>> trie.children(0, torch.tensor([0])).tolist()
        [[0, 1]]
        >>> trie.children(1, torch.tensor([0, 1])).tolist()
        [[-1, 0], [1, -1]]
    """

    def __init__(self, tables: Sequence[torch.Tensor]) -> None:
        self.tables = tuple(tables)

    @classmethod
    def build(cls, codes: IntArray, level_sizes: Sequence[int], items: IntArray | None = None) -> Trie:
        """Build from distinct rows of codes.

        Args:
            codes: (N, L) int64.
            level_sizes: K_l per level.
            items: indexes of the rows that are allowed; all by default. States behind the last level are these
                indexes, never renumbered.

        Raises:
            DataError: no item is allowed, or two allowed items share their codes.
        """
        rows = np.arange(len(codes)) if items is None else np.unique(items)
        if len(rows) == 0:
            raise EmptySetError("the set of allowed items is empty; expected at least one, so check the filter")
        chosen = codes[rows]
        parents = np.zeros(len(rows), np.int64)
        tables = []
        for level, size in enumerate(level_sizes):
            edges = parents * size + chosen[:, level]
            unique, state = np.unique(edges, return_inverse=True)
            last = level == len(level_sizes) - 1
            if last and len(unique) < len(rows):
                raise DataError(f"{len(rows)} items share {len(unique)} code sequences; resolve collisions first")
            table = np.full((int(parents.max()) + 1, size), -1, np.int32)
            table.ravel()[edges] = rows if last else state
            tables.append(torch.from_numpy(table))
            parents = state
        return cls(tables)

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """K_l per level."""
        return tuple(table.shape[1] for table in self.tables)

    @property
    def num_items(self) -> int:
        """Number of allowed items."""
        return int((self.tables[-1] >= 0).sum())

    def to(self, device: torch.device | str) -> Trie:
        """The same trie with its tables on a device."""
        return Trie([table.to(device) for table in self.tables])

    def children(self, level: int, states: torch.Tensor) -> torch.Tensor:
        """Next state of every code: states (...,) int64 -> (..., K_level) int64, ``-1`` where not allowed.

        A negative state (a dead beam) has no children.
        """
        found = self.tables[level][states.clamp_min(0)].long()
        return found.masked_fill((states < 0).unsqueeze(-1), -1)

    def allowed(self, level: int, states: torch.Tensor) -> torch.Tensor:
        """Which codes may follow: states (...,) int64 -> (..., K_level) bool."""
        return self.children(level, states) >= 0

    def advance(self, level: int, states: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """The states behind one code each: (...,) int64 and (...,) int64 -> (...,) int64, ``-1`` where not allowed.

        A code outside the level is not allowed either.
        """
        size = self.tables[level].shape[1]
        inside = (states >= 0) & (codes >= 0) & (codes < size)
        found = self.tables[level][states.clamp_min(0), codes.clamp(0, size - 1)].long()
        return found.masked_fill(~inside, -1)
