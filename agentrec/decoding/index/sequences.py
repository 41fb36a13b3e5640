"""Identifiers of differing length, such as item titles as token sequences: a trie in flat arrays.

The end token closes every sequence and is a child like any other, so that one title may begin another. Nodes are
numbered breadth first, in the order of their parents and tokens: the children of a node lie side by side, and a node
*is* the number of the edge that leads to it. States are nodes; they need no level. Sequences that are the same end in
one leaf, behind which all their items stand.

What it does not know: several identifiers in one output, and how likely each of the items behind one leaf is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from agentrec.core.errors import DataError
from agentrec.core.types import IntArray
from agentrec.decoding.children.candidates import DEAD, Candidates, Frontier, chosen
from agentrec.decoding.grammar import Choice

ROOT = 0


class Children(NamedTuple):
    """The children of nodes, as many columns as the widest of them needs.

    Attributes:
        tokens: (..., C) int64, rising; ``-1`` behind the last.
        states: (..., C) int64; ``-1`` behind the last.
    """

    tokens: torch.Tensor
    states: torch.Tensor


@dataclass(frozen=True)
class SequenceTrie:
    """The token sequences of a set of items.

    Attributes:
        eos: the end token.
        tokens: (S,) int32, the token that leads to each node; ``-1`` for the root.
        first: (S + 1,) int32 or int64; node p has the children ``first[p]`` to ``first[p + 1] - 1``.
        starts: (S + 1,) int32 or int64; behind node p stand the items ``starts[p]`` to ``starts[p + 1] - 1``.
        items: (N,) int64 items in the order of their leaves, those of one leaf rising.
        branches: the most children of a node.
        max_length: tokens of the longest sequence, its end included.

    Example:
        >>> trie = SequenceTrie.build([[5, 6], [5], [5, 6]], eos=9)
        >>> state = trie.advance(torch.tensor([0]), torch.tensor([5]))
        >>> trie.children(state).tokens.tolist()
        [[6, 9]]
        >>> leaf = trie.advance(trie.advance(state, torch.tensor([6])), torch.tensor([9]))
        >>> trie.items_of(int(leaf)).tolist()
        [0, 2]
    """

    eos: int
    tokens: torch.Tensor
    first: torch.Tensor
    starts: torch.Tensor
    items: torch.Tensor
    branches: int
    max_length: int

    @classmethod
    def build(cls, sequences: Sequence[Sequence[int]], eos: int, items: IntArray | None = None) -> SequenceTrie:
        """Build from one list of token ids per item, without end tokens.

        Args:
            sequences: N lists.
            eos: end token.
            items: indexes of the sequences that are allowed; all by default.

        Raises:
            DataError: no item is allowed, or a sequence is empty, or holds the end token or a negative id.
        """
        rows = np.arange(len(sequences)) if items is None else np.unique(items)
        lengths = np.fromiter((len(sequences[row]) for row in rows.tolist()), np.int64, len(rows))
        flat = np.fromiter((token for row in rows.tolist() for token in sequences[row]), np.int64, int(lengths.sum()))
        return cls.from_flat(flat, lengths, eos, names=rows)

    @classmethod
    def from_flat(cls, flat: IntArray, lengths: IntArray, eos: int, *, names: IntArray | None = None) -> SequenceTrie:
        """Build from sequences that lie back to back.

        Args:
            flat: (R,) token ids.
            lengths: (N,) tokens per sequence.
            eos: end token.
            names: (N,) the item of each sequence, rising; its number by default.

        Raises:
            DataError: as `build`.
        """
        names = np.arange(len(lengths)) if names is None else np.asarray(names)
        _check(flat, lengths, eos, names)
        levels, leaves, order = _number(flat, lengths, eos)
        parents = np.concatenate([row[0] for row in levels])
        tokens = np.concatenate([[-1], *(row[1] for row in levels)])
        wide = np.int32 if max(len(tokens), len(order)) < 2**31 else np.int64
        children = np.bincount(parents, minlength=len(tokens))
        behind = np.bincount(leaves, minlength=len(tokens))
        return cls(
            eos,
            torch.from_numpy(tokens.astype(np.int32)),
            torch.from_numpy(np.concatenate([[1], 1 + np.cumsum(children)]).astype(wide)),
            torch.from_numpy(np.concatenate([[0], np.cumsum(behind)]).astype(wide)),
            torch.from_numpy(names[order].astype(np.int64)),
            int(children.max()),
            int(lengths.max()) + 1,
        )

    @property
    def num_items(self) -> int:
        """Number of allowed items."""
        return len(self.items)

    @property
    def num_states(self) -> int:
        """S, the root included."""
        return len(self.tokens)

    @property
    def vocabulary_size(self) -> int:
        """Largest token id in use, plus one."""
        return int(self.tokens.max()) + 1

    def to(self, device: torch.device | str) -> SequenceTrie:
        """The same trie with its arrays on a device."""
        tokens, first, starts, items = (part.to(device) for part in (self.tokens, self.first, self.starts, self.items))
        return SequenceTrie(self.eos, tokens, first, starts, items, self.branches, self.max_length)

    def items_of(self, state: int) -> torch.Tensor:
        """The items behind a leaf, rising; none behind any other state."""
        if state < 0:
            return self.items[:0]
        return self.items[int(self.starts[state]) : int(self.starts[state + 1])]

    def _edges(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Nodes (..., C) below states (...,), and which of them are children; reads back how many C are needed."""
        nodes = states.clamp_min(0)
        start, end = self.first[nodes].long(), self.first[nodes + 1].long()
        end = torch.where(states < 0, start, end)
        most = int((end - start).max()) if states.numel() else 0
        edges = start.unsqueeze(-1) + torch.arange(most, device=states.device)
        alive = edges < end.unsqueeze(-1)
        return edges.clamp_max(self.num_states - 1), alive

    def children(self, states: torch.Tensor) -> Children:
        """The children of states: (...,) int64."""
        edges, alive = self._edges(states)
        return Children(self.tokens[edges].long().masked_fill(~alive, -1), edges.masked_fill(~alive, -1))

    def advance(self, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The states behind one token each: (...,) int64 and (...,) int64 -> (...,) int64, ``-1`` where not allowed."""
        nodes, last = states.clamp_min(0), self.num_states - 1
        low, end = self.first[nodes].long(), self.first[nodes + 1].long()
        high = end
        for _ in range(self.branches.bit_length()):
            middle = (low + high) // 2
            smaller = (self.tokens[middle.clamp_max(last)] < tokens) & (middle < high)
            low, high = torch.where(smaller, middle + 1, low), torch.where(smaller, high, middle)
        found = (states >= 0) & (low < end) & (self.tokens[low.clamp_max(last)] == tokens)
        return low.masked_fill(~found, -1)

    def allowed(self, states: torch.Tensor, size: int | None = None) -> torch.Tensor:
        """Which tokens may follow: states (...,) int64 -> (..., V) bool; V is ``size``, else `vocabulary_size`."""
        flat = states.reshape(-1)
        size = self.vocabulary_size if size is None else size
        edges, alive = self._edges(flat)
        return Choice(self.tokens[edges].long(), alive).mask(size).reshape(*states.shape, size)

    def mask_logits(self, states: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Logits (..., V) with ``-inf`` everywhere but at the allowed tokens; nothing is left of a dead state."""
        return logits.masked_fill(~self.allowed(states, logits.shape[-1]), DEAD)

    def top_candidates(self, beams: Frontier, logprobs: torch.Tensor, k: int) -> Candidates:
        """The k best continuations of each batch row, exactly; a candidate's code is its token.

        Args:
            beams: to be continued; their level is not looked at.
            logprobs: (B, M, V), added to the scores.
            k: how many.

        Raises:
            DataError: on CPUs, if a log-probability of a candidate is not a number.
        """
        edges, alive = self._edges(beams.states)
        tokens = self.tokens[edges].long().clamp_min(0)
        values = (beams.scores[..., None] + logprobs.gather(-1, tokens).float()).masked_fill(~alive, DEAD)
        size = logprobs.shape[-1]
        places = torch.arange(tokens.shape[1], device=tokens.device)[None, :, None] * size + tokens
        return chosen(values.flatten(1), edges.flatten(1), places.flatten(1), size, k)


class SequenceGrammar:
    """One sequence of a trie and its end: what `agentrec.decoding.hf` holds generation to.

    Args:
        trie: the allowed sequences.
    """

    def __init__(self, trie: SequenceTrie) -> None:
        self.trie = trie
        self.eos = trie.eos
        self.max_tokens = trie.max_length - 1
        self.vocabulary_size = trie.vocabulary_size

    def walk(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `agentrec.decoding.grammar.Grammar`."""
        reached = torch.full_like(tokens, -1)
        state = torch.full((len(tokens),), ROOT, dtype=torch.long, device=tokens.device)
        for column in range(min(tokens.shape[1], self.max_tokens)):
            reached[:, column] = state = self.trie.advance(state, tokens[:, column])
        return reached

    def choices(self, tokens: torch.Tensor, reached: torch.Tensor) -> Choice:
        """See `agentrec.decoding.grammar.Grammar`."""
        start = torch.full((len(tokens),), ROOT, dtype=torch.long, device=tokens.device)
        edges, alive = self.trie._edges(reached[:, -1] if tokens.shape[1] else start)
        return Choice(self.trie.tokens[edges].long().clamp_min(0), alive)


def _check(flat: IntArray, lengths: IntArray, eos: int, names: IntArray) -> None:
    """Refuse what cannot be told apart from an end or a lack of sequences."""
    if len(lengths) == 0:
        raise DataError("the set of allowed items is empty; expected at least one, so check the filter")
    if int(lengths.min()) < 1:
        raise DataError(f"item {names[lengths.argmin()]} has no tokens; expected a title of one token or more")
    wrong = (flat < 0) | (flat == eos)
    if wrong.any():
        place = int(wrong.argmax())
        item = names[np.searchsorted(np.cumsum(lengths), place, side="right")]
        raise DataError(
            f"item {item} has token {int(flat[place])} in its sequence; expected ids of 0 or more without the end "
            f"token {eos}, which is added to every sequence"
        )


def _number(flat: IntArray, lengths: IntArray, eos: int) -> tuple[list[tuple[IntArray, IntArray]], IntArray, IntArray]:
    """Number the nodes depth by depth.

    Rows stay sorted by their node, so that sorting a depth means sorting what is nearly sorted.

    Returns:
        Per depth (parents, tokens) of its nodes; the leaves of the sequences, rising (N,); the sequences in that order.
    """
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rows, nodes = np.arange(len(lengths)), np.full(len(lengths), ROOT)
    size = int(max(flat.max(), eos)) + 1
    levels, leaves, order, known, depth = [], [], [], 1, 0
    while len(rows):
        going = lengths[rows] > depth
        tokens = np.where(going, flat[np.minimum(offsets[rows] + depth, len(flat) - 1)], eos)
        place = np.argsort(nodes * size + tokens, kind="stable")
        rows, going, nodes, tokens = rows[place], going[place], nodes[place], tokens[place]
        new = np.concatenate([[True], (nodes[1:] != nodes[:-1]) | (tokens[1:] != tokens[:-1])])
        levels.append((nodes[new], tokens[new]))
        nodes = known + np.cumsum(new) - 1
        known += len(levels[-1][0])
        leaves.append(nodes[~going])
        order.append(rows[~going])
        rows, nodes, depth = rows[going], nodes[going], depth + 1
    return levels, np.concatenate(leaves), np.concatenate(order)
