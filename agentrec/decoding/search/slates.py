"""Several items in one output: the beams write item after item, no item twice, and a slate is scored as a whole.

For models trained on outputs of several items, such as ``<a_1><b_2> <a_7><b_4>``. After an item the walk begins again
at the root of the constraint; an optional separator token stands between items and its probability counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from agentrec.core.errors import ConfigError
from agentrec.core.protocols import Constraint
from agentrec.decoding.children.candidates import DEAD, Candidates, Frontier, best, chosen
from agentrec.decoding.search.beam import root
from agentrec.decoding.search.prompt import Prompt
from agentrec.decoding.search.tree import BeamTree


class Slates(NamedTuple):
    """Ranked slates per prompt.

    Attributes:
        items: (B, n, S) int64 items in the order in which they were written; all ``-1`` for a slate that is missing.
        scores: (B, n) float32 sums of log-probabilities of all tokens; ``-inf`` for a slate that is missing.
    """

    items: torch.Tensor
    scores: torch.Tensor


@torch.inference_mode()
def search_slates(
    prompt: Prompt,
    constraint: Constraint,
    token_ids: Sequence[torch.Tensor],
    size: int,
    *,
    num_beams: int = 20,
    n: int | None = None,
    separator: int | None = None,
) -> Slates:
    """The likeliest slates of S different items.

    Args:
        prompt: B prompts.
        constraint: the allowed code sequences.
        token_ids: per level, (K_l,) int64 token id of each code.
        size: S, items per slate.
        num_beams: beam width M.
        n: slates returned; all beams by default.
        separator: token between items.

    Raises:
        ConfigError: the constraint has fewer than S items, or n exceeds the width.
    """
    n = num_beams if n is None else n
    if size < 1 or constraint.num_items < size:
        raise ConfigError(f"a slate has {size} items and {constraint.num_items} are allowed; expected 1 to that many")
    if n > num_beams:
        raise ConfigError(f"n is {n} and num_beams {num_beams}; expected a beam at least as wide as the list")
    steps = size * (len(token_ids) + (separator is not None))
    tree, beams = BeamTree(prompt, num_beams * steps), root(prompt)
    written = torch.zeros(*beams.states.shape, 0, dtype=torch.long, device=beams.states.device)
    for place in range(size):
        if place and separator is not None:
            beams = _separated(tree, beams, separator)
        for level, columns in enumerate(token_ids):
            logprobs = tree.logits.float().log_softmax(dim=-1)[..., columns]
            if level < len(token_ids) - 1:
                found = best(constraint, beams, logprobs, num_beams)
                written = _follow(written, found.parents)
            else:
                found, written = _last_level(constraint, beams, logprobs, written, num_beams)
            beams = Frontier(level + 1, found.states, found.scores)
            if place < size - 1 or level < len(token_ids) - 1:
                tree.grow(found.parents, columns[found.codes])
        beams = Frontier(0, torch.where(beams.states < 0, -1, 0), beams.scores)
    return Slates(written[:, :n].masked_fill((beams.scores == DEAD)[:, :n, None], -1), beams.scores[:, :n])


def _follow(written: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
    """What the chosen beams have written so far."""
    return written.gather(1, parents[:, :, None].expand(-1, -1, written.shape[2]))


def _separated(tree: BeamTree, beams: Frontier, separator: int) -> Frontier:
    """Every beam writes the separator."""
    scores = beams.scores + tree.logits.float().log_softmax(dim=-1)[..., separator]
    width = torch.arange(scores.shape[1], device=scores.device).expand_as(beams.states)
    tree.grow(width, torch.full_like(beams.states, separator))
    return Frontier(0, beams.states, scores)


def _last_level(
    constraint: Constraint, beams: Frontier, logprobs: torch.Tensor, written: torch.Tensor, k: int
) -> tuple[Candidates, torch.Tensor]:
    """The next beams, each with an item that it has not written before, and what they have written then."""
    children = constraint.children(beams.level, beams.states)
    again = (children[..., None] == written[:, :, None, :]).any(dim=-1)
    values = (beams.scores[..., None] + logprobs).masked_fill((children < 0) | again, DEAD).flatten(1)
    places = torch.arange(values.shape[1], device=values.device).expand_as(values)
    found = chosen(values, children.flatten(1), places, children.shape[-1], k)
    return found, torch.cat([_follow(written, found.parents), found.states[:, :, None]], dim=2)
