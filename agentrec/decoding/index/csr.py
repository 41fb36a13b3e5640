"""The static index of allowed items: a trie in flat arrays, whose cost per step does not grow with the catalogue.

After STATIC (arXiv 2602.22647): rows of codes are sorted once, the nodes of every level are numbered in that order, and
so the children of a node lie side by side. A node *is* the number of the edge that leads to it, so no next states are
stored: per edge its code, per node where its children begin, and the item behind every last edge. Two first levels are
also kept as plain tables where these are small. States are those of `agentrec.decoding.index.trie.Trie`, number for
number.

What it does not know: identifiers of differing length (`agentrec.decoding.index.sequences`), and items that share all
codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentrec.core.errors import DataError, EmptySetError
from agentrec.core.types import IntArray
from agentrec.decoding.children.candidates import DEAD, Candidates, Frontier, chosen, masked
from agentrec.decoding.children.fast import search_on_cpu
from agentrec.decoding.index import kernels
from agentrec.decoding.index.offsets import Offsets
from agentrec.decoding.index.packing import Layout, Words, sorted_rows

DENSE_LEVELS = 2
DENSE_CELLS = 1 << 23  # of a plain table: 32 MB


@dataclass(frozen=True)
class StaticIndex:
    """The code sequences of a set of items.

    Attributes:
        level_sizes: K_l per level.
        tokens: per level, (E_l,) the code of every edge; uint8, int16 or int32.
        offsets: per level, where the edges of each node begin.
        items: (N,) int32 or int64, the item behind every edge of the last level.
        branches: per level, the most children that a node has.
        dense: per level, (n_l, K_l) int32 next states, ``-1`` where not allowed; or None.

    Example:
        >>> index = StaticIndex.build(np.array([[0, 1], [1, 0]]), level_sizes=(2, 2))
        >>> index.children(0, torch.tensor([0])).tolist()
        [[0, 1]]
        >>> index.advance(1, torch.tensor([0, 1]), torch.tensor([1, 1])).tolist()
        [0, -1]
    """

    level_sizes: tuple[int, ...]
    tokens: tuple[torch.Tensor, ...]
    offsets: tuple[Offsets, ...]
    items: torch.Tensor
    branches: tuple[int, ...]
    dense: tuple[torch.Tensor | None, ...]

    @classmethod
    def build(cls, codes: IntArray, level_sizes: Sequence[int], items: IntArray | None = None) -> StaticIndex:
        """Build from distinct rows of codes, in any order.

        Args:
            codes: (N, L) int64.
            level_sizes: K_l per level.
            items: indexes of the rows that are allowed; all by default.

        Raises:
            EmptySetError: no item is allowed.
            DataError: two allowed items share their codes, or a code is out of range.
        """
        layout = Layout.of(level_sizes)
        if items is None:
            return cls.from_words(layout.pack(codes), layout)
        rows = np.unique(items)
        return cls.from_words(layout.pack(np.asarray(codes)[rows]), layout, rows)

    @classmethod
    def from_words(cls, words: Words, layout: Layout, names: IntArray | None = None) -> StaticIndex:
        """Build from packed rows.

        Args:
            words: (W, N) uint64, or (N,) where a row is one word; see `Layout.pack`.
            layout: of the words.
            names: (N,) the item of each row; its number by default.

        Raises:
            DataError: as `build`.
        """
        words = np.atleast_2d(words)
        if words.shape[1] == 0:
            raise EmptySetError("the set of allowed items is empty; expected at least one, so check the filter")
        placed, order = sorted_rows(words, layout)
        tokens, firsts = _levels(placed, layout)
        wide = np.int32 if words.shape[1] < 2**31 else np.int64
        items = order.astype(wide) if names is None else np.asarray(names)[order].astype(wide)
        offsets = tuple(Offsets.of(first) for first in firsts)
        branches = tuple(int(kernels.most_children(first)) for first in firsts)
        codes = tuple(torch.from_numpy(row) for row in tokens)
        found = cls(layout.level_sizes, codes, offsets, torch.from_numpy(items), branches, (None,) * len(codes))
        return found.with_tables()

    def with_tables(self) -> StaticIndex:
        """The same, with plain tables of the first levels where they are small."""
        tables = tuple(self._table(level) if level < DENSE_LEVELS else None for level in range(len(self.tokens)))
        return StaticIndex(self.level_sizes, self.tokens, self.offsets, self.items, self.branches, tables)

    def _table(self, level: int) -> torch.Tensor | None:
        nodes = 1 if level == 0 else len(self.tokens[level - 1])
        if nodes * self.level_sizes[level] > DENSE_CELLS:
            return None
        table = torch.full((nodes, self.level_sizes[level]), -1, dtype=torch.int32)
        tokens, base, small, items = self.host[level]
        kernels.fill_table(tokens, base, small, items, table.numpy())
        return table

    @property
    def num_items(self) -> int:
        """Number of allowed items."""
        return len(self.items)

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        tables = [table for table in self.dense if table is not None]
        parts = [*self.tokens, self.items, *tables, *(part for row in self.offsets for part in (row.base, row.small))]
        return sum(part.numel() * part.element_size() for part in parts)

    def to(self, device: torch.device | str) -> StaticIndex:
        """The same index with its arrays on a device."""
        return StaticIndex(
            self.level_sizes,
            tuple(part.to(device) for part in self.tokens),
            tuple(part.to(device) for part in self.offsets),
            self.items.to(device),
            self.branches,
            tuple(None if part is None else part.to(device) for part in self.dense),
        )

    def children(self, level: int, states: torch.Tensor) -> torch.Tensor:
        """Next state of every code: states (...,) int64 -> (..., K_level) int64, ``-1`` where not allowed."""
        table = self.dense[level]
        if table is None:
            return self._children(level, states)
        return table[states.clamp_min(0)].long().masked_fill((states < 0).unsqueeze(-1), -1)

    def _children(self, level: int, states: torch.Tensor) -> torch.Tensor:
        edges, alive = self._edges(level, states)
        size = self.level_sizes[level]
        codes = self.tokens[level][edges].long().masked_fill(~alive, size)
        found = torch.full((*states.shape, size + 1), -1, dtype=torch.long, device=states.device)
        return found.scatter_(-1, codes, self._names(level, edges))[..., :size].contiguous()

    def _edges(self, level: int, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Edges of every state, (..., branches), and which of them are its own."""
        nodes = states.clamp_min(0)
        start, end = self.offsets[level].at(nodes), self.offsets[level].at(nodes + 1)
        edges = start.unsqueeze(-1) + torch.arange(self.branches[level], device=states.device)
        alive = (edges < end.unsqueeze(-1)) & (states >= 0).unsqueeze(-1)
        return edges.clamp_max(len(self.tokens[level]) - 1), alive

    def _names(self, level: int, edges: torch.Tensor) -> torch.Tensor:
        """States behind edges: their own numbers, and items behind the last level."""
        return edges if level < len(self.tokens) - 1 else self.items[edges].long()

    def allowed(self, level: int, states: torch.Tensor) -> torch.Tensor:
        """Which codes may follow: states (...,) int64 -> (..., K_level) bool."""
        return self.children(level, states) >= 0

    def advance(self, level: int, states: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """The states behind one code each: (...,) int64 and (...,) int64 -> (...,) int64, ``-1`` where not allowed.

        A code outside the level is not allowed either.
        """
        size = self.level_sizes[level]
        inside = (states >= 0) & (codes >= 0) & (codes < size)
        nodes, wanted = states.clamp_min(0), codes.clamp(0, size - 1)
        table = self.dense[level]
        if table is not None:
            return table[nodes, wanted].long().masked_fill(~inside, -1)
        low, end = self.offsets[level].at(nodes), self.offsets[level].at(nodes + 1)
        high, last = end, len(self.tokens[level]) - 1
        for _ in range(self.branches[level].bit_length()):
            middle = (low + high) // 2
            smaller = (self.tokens[level][middle.clamp_max(last)] < wanted) & (middle < high)
            low, high = torch.where(smaller, middle + 1, low), torch.where(smaller, high, middle)
        edges = low.clamp_max(last)
        found = inside & (low < end) & (self.tokens[level][edges] == wanted)
        return self._names(level, edges).masked_fill(~found, -1)

    def mask_logits(
        self, level: int, states: torch.Tensor, logits: torch.Tensor, columns: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits (..., V) with ``-inf`` everywhere but at the allowed codes.

        Args:
            level: of the states.
            states: (...,) int64; of a dead state nothing is left.
            logits: (..., V).
            columns: (K,) int64, where a code lies; at its own number by default.
        """
        return masked(logits, self.allowed(level, states), columns)

    def top_candidates(
        self,
        beams: Frontier,
        logprobs: torch.Tensor,
        k: int,
        *,
        columns: torch.Tensor | None = None,
        barred: torch.Tensor | None = None,
        bits: torch.Tensor | None = None,
    ) -> Candidates:
        """See `agentrec.decoding.children.candidates.best`; on CPUs by `search_on_cpu`.

        Args:
            beams, logprobs, k, columns, barred: as there.
            bits: (E_level / 8,) uint8, edges that are allowed; all by default.
        """
        ask = {"columns": columns, "barred": barred, "bits": bits}
        if beams.states.device.type == "cpu":
            return search_on_cpu(self, beams, logprobs, k, **ask)
        return self.search(beams, logprobs, k, **ask)

    def search(
        self,
        beams: Frontier,
        logprobs: torch.Tensor,
        k: int,
        *,
        columns: torch.Tensor | None = None,
        barred: torch.Tensor | None = None,
        bits: torch.Tensor | None = None,
    ) -> Candidates:
        """`top_candidates` in plain torch, on any device: static shapes, nothing read back; of equal scores any."""
        level, states, scores, _ = beams
        edges, alive = self._edges(level, states)
        codes = self.tokens[level][edges].long()
        if bits is not None:
            alive = alive & ((bits[edges >> 3] >> (edges & 7)) & 1).bool()
        added = logprobs.gather(-1, codes if columns is None else columns[codes])
        values = (scores[..., None] + added.float()).masked_fill(~alive, DEAD)
        names = self._names(level, edges)
        if barred is not None and barred.shape[1] and level == len(self.tokens) - 1:
            values = values.masked_fill((names[..., None] == barred[:, None, None, :]).any(dim=-1), DEAD)
        size = self.level_sizes[level]
        places = torch.arange(states.shape[1], device=states.device)[None, :, None] * size + codes
        return chosen(values.flatten(1), names.flatten(1), places.flatten(1), size, k)

    @cached_property
    def host(self) -> list[tuple[NDArray[Any], ...]]:
        """Per level tokens, base, small and items (empty above the last level) as numpy arrays, for `kernels`."""
        nothing = self.items.numpy()[:0]
        last = len(self.tokens) - 1
        return [
            (codes.numpy(), row.base.numpy(), row.small.numpy(), self.items.numpy() if level == last else nothing)
            for level, (codes, row) in enumerate(zip(self.tokens, self.offsets, strict=True))
        ]

    def save(self, folder: str | Path) -> None:
        """Write the folder; `load` maps it into memory instead of reading it."""
        from agentrec.decoding.index.files import write_index

        write_index(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> StaticIndex:
        """Open what `save` wrote.

        Raises:
            ArtefactError: it is missing, damaged, or holds something else.
        """
        from agentrec.decoding.index.files import read_index

        return read_index(folder)


def _levels(words: Words, layout: Layout) -> tuple[list[NDArray[Any]], list[IntArray]]:
    """Codes of the edges and first edges of the nodes of every level, from sorted rows.

    Raises:
        DataError: two rows are the same.
    """
    levels = len(layout.level_sizes)
    where = np.array([layout.word, layout.shift, [(1 << width) - 1 for width in layout.bits]], np.int64)
    parts = np.empty(words.shape[1], np.uint8)
    counts = np.zeros(levels + 1, np.int64)
    kernels.parting_levels(words, where[0], where[1], parts, counts)
    if counts[levels]:
        total = words.shape[1]
        distinct = total - int(counts[levels])
        raise DataError(f"{total} items share {distinct} code sequences; resolve collisions first")
    edges = np.cumsum(counts[:levels])
    nodes = np.concatenate([[1], edges[:-1]]) + 1
    place = np.array([np.concatenate([[0], np.cumsum(sizes)[:-1]]) for sizes in (edges, nodes)])
    top = max(layout.level_sizes)
    kind = np.uint8 if top <= 2**8 else np.int16 if top <= 2**15 else np.int32
    tokens = np.empty(int(edges.sum()), kind)
    first = np.zeros(int(nodes.sum()), np.int32 if words.shape[1] < 2**31 else np.int64)
    kernels.fill_levels(words, where, parts, place, (tokens, first))
    first[place[1] + nodes - 1] = edges
    split = [np.split(flat, ends[1:]) for flat, ends in ((tokens, place[0]), (first, place[1]))]
    return [row.copy() for row in split[0]], split[1]
