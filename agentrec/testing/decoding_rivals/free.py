"""No constraint at all: the same search over plain codes, to see what a constraint costs."""

from __future__ import annotations

from math import prod

import torch

from agentrec.decoding.children.candidates import Candidates, Frontier


class Free:
    """Every code may follow every prefix; a state is the codes so far in mixed radix.

    Args:
        level_sizes: K_l per level.
    """

    def __init__(self, level_sizes: tuple[int, ...]) -> None:
        self.level_sizes = level_sizes

    @property
    def num_items(self) -> int:
        """All code sequences."""
        return prod(self.level_sizes)

    def children(self, level: int, states: torch.Tensor) -> torch.Tensor:
        """See `agentrec.core.protocols.Constraint`."""
        size = self.level_sizes[level]
        found = states[..., None] * size + torch.arange(size, device=states.device)
        return found.masked_fill((states < 0)[..., None], -1)

    def top_candidates(
        self,
        beams: Frontier,
        logprobs: torch.Tensor,
        k: int,
        *,
        columns: torch.Tensor | None = None,
        barred: torch.Tensor | None = None,
    ) -> Candidates:
        """The k best of all codes: one addition and one top-k, as a search without constraint has them."""
        size = self.level_sizes[beams.level]
        added = logprobs[..., :size] if columns is None else logprobs[..., columns]
        values = (beams.scores[..., None] + added.float()).flatten(1)
        scores, at = values.topk(min(k, values.shape[1]), dim=1)
        parents, codes = at // size, at % size
        return Candidates(scores, parents, codes, beams.states.gather(1, parents) * size + codes)
