"""The published STATIC step (arXiv 2602.22647), an independent write-up in plain torch.

Dense tables for the first two levels, one compressed sparse matrix for the others. A dense level masks the
log-probabilities of all codes; a sparse level reads a burst of edges per beam, as long as the busiest node of the level
needs, so that shapes never depend on the data.

The published code looks at no more than 30 codes per beam on the dense level and is therefore not exact;
``dense_candidates=None`` looks at all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from agentrec.core.errors import DataError
from agentrec.testing.decoding_rivals.masked import DEAD, Found

DENSE_LEVELS = 2
PUBLISHED_CANDIDATES = 30
TERMINAL = 0  # the state behind the last level, whatever the item


@dataclass(frozen=True)
class StaticTrie:
    """The index; V codes at every level, S states, E edges behind the dense levels and before them.

    States: 0 is the root, ``t + 1`` the node behind first code t, and from ``V + 1`` on the nodes of every further
    level in the order of their prefixes.

    Attributes:
        start_mask: (V,) bool, which codes begin an item.
        dense_mask: (V, V) bool, which pairs of codes do.
        dense_states: (V, V) int32, the state behind them.
        packed_csr: (E + V, 2) int32, code and next state of every edge, and padding to read past the end.
        indptr: (S + 1,) int64, where the edges of a state begin.
        layer_max_branches: the most children that a node has, per level.
    """

    start_mask: torch.Tensor
    dense_mask: torch.Tensor
    dense_states: torch.Tensor
    packed_csr: torch.Tensor
    indptr: torch.Tensor
    layer_max_branches: tuple[int, ...]

    @classmethod
    def build(cls, codes: NDArray[np.integer], vocabulary: int) -> StaticTrie:
        """Build from distinct rows in lexicographic order: (N, L), L at least 3.

        Raises:
            DataError: there are too few levels or no rows.
        """
        if codes.ndim != 2 or codes.shape[1] <= DENSE_LEVELS or len(codes) == 0:
            raise DataError(f"codes have shape {codes.shape}; expected at least one row and {DENSE_LEVELS + 1} levels")
        first = _first_differences(codes)
        parent, low, next_state = codes[:, 0].astype(np.int64) + 1, 1, vocabulary + 1
        edges, counts = [], [np.zeros(1, np.int64)]
        for level in range(1, codes.shape[1]):
            new = first <= level
            rows, last = np.flatnonzero(new), level == codes.shape[1] - 1
            child = next_state + np.cumsum(new) - 1
            ends = np.full(len(rows), TERMINAL) if last else child[rows]
            edges.append(np.stack([codes[rows, level], ends], axis=1).astype(np.int32))
            counts.append(np.bincount(parent[rows] - low, minlength=next_state - low))
            parent, low, next_state = child, next_state, next_state + len(rows)
        dense = torch.full((vocabulary, vocabulary), -1, dtype=torch.int32)
        pairs = torch.from_numpy(codes[first <= 1, :DENSE_LEVELS].astype(np.int64))
        dense[pairs[:, 0], pairs[:, 1]] = torch.from_numpy(edges[0][:, 1])
        return cls(
            start_mask=torch.from_numpy(np.bincount(codes[:, 0], minlength=vocabulary) > 0),
            dense_mask=dense >= 0,
            dense_states=dense.clamp_min(0),
            packed_csr=torch.from_numpy(np.concatenate([*edges, np.zeros((vocabulary, 2), np.int32)])),
            indptr=torch.from_numpy(np.concatenate([np.zeros(1, np.int64), *counts]).cumsum()),
            layer_max_branches=(len(np.unique(codes[:, 0])), *(int(level.max()) for level in counts[1:])),
        )

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        parts = (self.start_mask, self.dense_mask, self.dense_states, self.packed_csr, self.indptr)
        return sum(part.numel() * part.element_size() for part in parts)

    @torch.inference_mode()
    def search(
        self, logprobs: Sequence[torch.Tensor], num_beams: int, *, dense_candidates: int | None = PUBLISHED_CANDIDATES
    ) -> Found:
        """Search with given log-probabilities: (B, 1, V) at the first level, (B, M, V) behind it.

        Args:
            logprobs: one tensor per level.
            num_beams: M, at most the number of first codes times ``dense_candidates``.
            dense_candidates: codes that a beam may propose at the second level; all, and exact, with None.
        """
        first = torch.where(self.start_mask, logprobs[0][:, 0], DEAD)
        scores, tokens = first.topk(min(num_beams, first.shape[1]), dim=1)
        codes, states = tokens[..., None], tokens + 1
        for level, line in enumerate(logprobs[1:], 1):
            line = line[:, : codes.shape[1]]
            proposed: torch.Tensor | None
            ends: torch.Tensor | None
            if level < DENSE_LEVELS:
                values, proposed, ends = self._dense(codes[..., 0], line, dense_candidates)
            else:
                values, proposed, ends = self._burst(states, line, self.layer_max_branches[level])
            width = values.shape[-1]
            flat = (scores[..., None] + values).flatten(1)
            scores, at = flat.topk(min(num_beams, flat.shape[1]), dim=1)
            parents = (at // width)[..., None]
            taken = at % width if proposed is None else proposed.flatten(1).gather(1, at)
            kept = codes.gather(1, parents.expand(-1, -1, codes.shape[2]))
            states = self.dense_states[kept[..., 0], taken].long() if ends is None else ends.flatten(1).gather(1, at)
            codes = torch.cat([kept, taken[..., None]], dim=2)
        return Found(codes, scores)

    def _dense(
        self, before: torch.Tensor, logprobs: torch.Tensor, most: int | None
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """Values of candidates (B, M, C) and their codes; None for all codes in order."""
        values = torch.where(self.dense_mask[before], logprobs, DEAD)
        if most is None or most >= values.shape[-1]:
            return values, None, None
        values, tokens = values.topk(most, dim=-1, sorted=False)
        return values, tokens, None

    def _burst(
        self, states: torch.Tensor, logprobs: torch.Tensor, branches: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Values, codes and next states of candidates, (B, M, C) each."""
        start = self.indptr[states]
        length = self.indptr[states + 1] - start
        offset = torch.arange(branches)
        edges = self.packed_csr[start[..., None] + offset].long()
        tokens, ends = edges[..., 0], edges[..., 1]
        values = torch.where(offset < length[..., None], logprobs.gather(-1, tokens), DEAD)
        return values, tokens, ends


def _first_differences(codes: NDArray[np.integer]) -> NDArray[np.int8]:
    """First level at which each row differs from the row before; 0 for the first row.

    Raises:
        DataError: a row does not come behind the one before.
    """
    found = np.zeros(len(codes), np.int8)
    differs = codes[1:] != codes[:-1]
    found[1:] = differs.argmax(axis=1)
    rows = np.arange(1, len(codes))
    if not (codes[rows, found[1:]] > codes[rows - 1, found[1:]]).all():
        raise DataError("rows of codes are not distinct and in lexicographic order; expected them sorted")
    return found
