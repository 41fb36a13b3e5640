"""Beam search the plain way: one row per beam, every cache row copied along. The slow, obvious reference of `beam`.

It shares nothing with the tree but the constraint: each beam's whole sequence is read anew at every level, without any
cache, and candidates are sorted in Python. Use `agentrec.decoding.search.beam`; this is what its tests compare it with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from agentrec.core.protocols import Constraint


@torch.inference_mode()
def replicated_search(
    model: Any, prompt: Sequence[int], constraint: Constraint, token_ids: Sequence[torch.Tensor], num_beams: int
) -> list[tuple[int, float]]:
    """The best items of one prompt with their sums of log-probabilities, best first; at most ``num_beams``."""
    beams: list[tuple[list[int], int, float]] = [(list(prompt), 0, 0.0)]
    for level, columns in enumerate(token_ids):
        rows = torch.tensor([sequence for sequence, _, _ in beams], device=columns.device)
        logprobs = model(input_ids=rows).logits[:, -1].float().log_softmax(dim=-1)[:, columns]
        grown = []
        for (sequence, state, score), line in zip(beams, logprobs.tolist(), strict=True):
            children = constraint.children(level, torch.tensor(state, device=columns.device)).tolist()
            for code, child in enumerate(children):
                if child >= 0:
                    grown.append(([*sequence, int(columns[code])], child, score + line[code]))
        beams = sorted(grown, key=lambda beam: -beam[2])[:num_beams]
    return [(state, score) for _, state, score in beams]
