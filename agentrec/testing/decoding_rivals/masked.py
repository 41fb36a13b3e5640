"""Beam search with a rival that answers one question: which codes may follow these prefixes.

That is what logits processors do: the mask of all codes is built, added, and the best of everything is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch

DEAD = float("-inf")


class PrefixMask(Protocol):
    """A rival without states of its own."""

    def allowed(self, prefixes: torch.Tensor) -> torch.Tensor:
        """Which codes may follow: prefixes (R, l) int64 -> (R, K) bool."""


class Found(NamedTuple):
    """What a search found, best first.

    Attributes:
        codes: (B, M, L) int64.
        scores: (B, M) float32, ``-inf`` for dead beams.
    """

    codes: torch.Tensor
    scores: torch.Tensor


def masked_search(rival: PrefixMask, logprobs: Sequence[torch.Tensor], num_beams: int) -> Found:
    """Search with given log-probabilities: (B, 1, K) at the first level, (B, M, K) behind it."""
    rows = len(logprobs[0])
    codes = torch.empty(rows, 1, 0, dtype=torch.long)
    scores = torch.zeros(rows, 1)
    for line in logprobs:
        flat = codes.flatten(0, 1)
        allowed = rival.allowed(flat).view(rows, codes.shape[1], -1)
        values = (scores[..., None] + line[:, : codes.shape[1]]).masked_fill(~allowed, DEAD).flatten(1)
        scores, at = values.topk(min(num_beams, values.shape[1]), dim=1)
        parents, taken = at // line.shape[-1], at % line.shape[-1]
        kept = codes.gather(1, parents[..., None].expand(-1, -1, codes.shape[2]))
        codes = torch.cat([kept, taken[..., None]], dim=2)
    return Found(codes, scores)
