"""Items in the order of a depth-first walk through their trie, where the items behind every node are one range.

A sum over "all items whose identifier begins like this" is then a sum over a slice. One structure for semantic IDs
(`agentrec.decoding.index.csr.StaticIndex`) and for sequences of differing length such as titles
(`agentrec.decoding.index.sequences.SequenceTrie`, whose end token is a child like any other, and where items of the
same title stand behind one leaf). Nodes are numbered breadth first, the children of a node side by side.

What it does not know: scores. `agentrec.decoding.shares.collaborative_tokenizer` sums them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from agentrec.core.errors import DataError
from agentrec.core.types import IntArray
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.sequences import SequenceTrie

ROOT = 0


class Ragged(NamedTuple):
    """Rows of differing length, back to back.

    Attributes:
        values: (E,) of all rows.
        widths: (P,) int64, how many belong to each row.
    """

    values: IntArray
    widths: IntArray


@dataclass(frozen=True)
class ItemRanges:
    """A trie over items, with the range of items behind each of its S nodes.

    Attributes:
        tokens: (S,) int64, the model's token that leads to each node; ``-1`` for the root.
        first: (S + 1,) int64; node p has the children ``first[p]`` to ``first[p + 1] - 1``.
        begins: (S,) int64; behind node p stand the items ``order[begins[p]:ends[p]]``.
        ends: (S,) int64.
        order: (N,) int64, items in the order of their leaves.
        steps: (Q,) int64, for each item the nodes at which its tokens are chosen, from the root on, back to back.
        starts: (N + 1,) int64; those of item i are ``steps[starts[i]:starts[i + 1]]``; none of an item left out.

    Example:
        >>> ranges = ItemRanges.of_trie(SequenceTrie.build([[5, 6], [5], [5, 6]], eos=9))
        >>> ranges.order.tolist(), ranges.tokens.tolist()
        ([0, 2, 1], [-1, 5, 6, 9, 9])
        >>> ranges.path(np.array([1])).values.tolist()
        [0, 1]
    """

    tokens: IntArray
    first: IntArray
    begins: IntArray
    ends: IntArray
    order: IntArray
    steps: IntArray
    starts: IntArray

    @classmethod
    def of_index(cls, index: StaticIndex, token_ids: Sequence[IntArray]) -> ItemRanges:
        """From semantic IDs.

        Args:
            index: of all items of a catalogue, or of some.
            token_ids: per level, (K_l,) the model's token of every code.
        """
        sizes = [len(codes) for codes in index.tokens]
        bases = np.concatenate([[1], 1 + np.cumsum(sizes)])
        firsts, tokens = [], [np.array([-1])]
        for level, codes in enumerate(index.tokens):
            nodes = torch.arange(1 if level == 0 else sizes[level - 1])
            firsts.append(bases[level] + index.offsets[level].at(nodes).numpy())
            tokens.append(np.asarray(token_ids[level])[codes.numpy()])
        leaves = np.full(sizes[-1] + 1, bases[-1])
        behind = np.zeros(int(bases[-1]), np.int64)
        behind[bases[-2] :] = 1
        return _ranges(np.concatenate(tokens), np.concatenate([*firsts, leaves]), behind, index.items.numpy())

    @classmethod
    def of_trie(cls, trie: SequenceTrie) -> ItemRanges:
        """From sequences of differing length."""
        parts = trie.tokens.numpy(), trie.first.numpy(), np.diff(trie.starts.numpy())
        return _ranges(*parts, trie.items.numpy())

    @property
    def num_items(self) -> int:
        """N, the number of items with a place in the trie."""
        return len(self.order)

    @property
    def num_nodes(self) -> int:
        """S, the root included."""
        return len(self.tokens)

    def path(self, items: IntArray) -> Ragged:
        """The nodes at which the tokens of items are chosen: (P,) int64 -> rows of nodes, the root first."""
        widths = self.starts[items + 1] - self.starts[items]
        return Ragged(self.steps[spans(self.starts[items], widths)], widths)

    def children(self, nodes: IntArray) -> Ragged:
        """The children of nodes: (P,) int64 -> rows of nodes."""
        widths = self.first[nodes + 1] - self.first[nodes]
        return Ragged(spans(self.first[nodes], widths), widths)

    def find(self, prefix: Sequence[int]) -> int:
        """The node behind a prefix.

        Raises:
            DataError: no item begins so; the message names the first token that leads nowhere.
        """
        node = ROOT
        for place, token in enumerate(prefix):
            begin, end = self.first[node], self.first[node + 1]
            found = int(begin + np.searchsorted(self.tokens[begin:end], token))
            if found == end or self.tokens[found] != token:
                raise DataError(
                    f"no item begins with {list(prefix[: place + 1])}; expected a prefix of an item's tokens"
                )
            node = found
        return node


def spans(begins: IntArray, widths: IntArray) -> IntArray:
    """The numbers ``begins[p], begins[p] + 1, ...`` of every row, back to back: (P,) and (P,) -> (sum of widths,)."""
    before = np.cumsum(widths) - widths
    found: IntArray = np.repeat(begins - before, widths) + np.arange(int(widths.sum()))
    return found


def _ranges(tokens: IntArray, first: IntArray, behind: IntArray, items: IntArray) -> ItemRanges:
    """Number the leaves depth first; ``items`` stand in the order of their nodes, ``behind[p]`` of them at node p."""
    tokens, first, items = (np.asarray(part, np.int64) for part in (tokens, first, items))
    parents = np.repeat(np.arange(len(tokens)), np.diff(first))  # of every node but the root
    parents = np.concatenate([[-1], parents])
    depths = _depths(first)
    sizes = behind.astype(np.int64)
    for low, high in reversed(depths[1:]):
        sizes += np.bincount(parents[low:high], sizes[low:high], len(sizes)).astype(np.int64)
    begins = np.zeros(len(tokens), np.int64)
    for low, high in depths[1:]:
        before = np.cumsum(sizes[low:high]) - sizes[low:high]
        eldest = first[parents[low:high]] - low
        begins[low:high] = begins[parents[low:high]] + before - before[eldest]
    leaves = np.repeat(np.arange(len(tokens)), behind)
    order = np.empty(len(items), np.int64)
    order[spans(begins, behind.astype(np.int64))] = items
    steps, starts = _steps(leaves, items, parents, depths)
    return ItemRanges(tokens, first, begins, begins + sizes, order, steps, starts)


def _depths(first: IntArray) -> list[tuple[int, int]]:
    """First and last node plus one of every depth."""
    found = [(0, 1)]
    while first[found[-1][0]] < first[found[-1][1]]:
        low, high = found[-1]
        found.append((int(first[low]), int(first[high])))
    return found


def _steps(
    leaves: IntArray, items: IntArray, parents: IntArray, depths: list[tuple[int, int]]
) -> tuple[IntArray, IntArray]:
    """The nodes above the leaf of every item, and where those of each item begin."""
    lengths = np.zeros(int(items.max()) + 1, np.int64)
    depth = np.empty(len(parents), np.int64)
    for number, (low, high) in enumerate(depths):
        depth[low:high] = number
    lengths[items] = depth[leaves]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    steps = np.empty(int(starts[-1]), np.int64)
    node, place = parents[leaves], starts[items] + depth[leaves] - 1
    while len(node):
        steps[place] = node
        going = node != ROOT
        node, place = parents[node[going]], place[going] - 1
    return steps, starts
