"""Exact constrained beam search over semantic IDs, with the beams of a request as a tree in one row.

The prompt is encoded once. At each level the M newest beam tokens of a request enter as M query tokens of the *same*
row: a 4-D mask lets each see the prompt and its own ancestors, and its position is prompt length + level. The key-value
cache is only appended to, never copied or reordered: T + M(L-1) rows instead of the M(T+L) of replicated beams.

Scores are exact: the sum of log-probabilities over the model's full vocabulary. They are not renormalised over the
allowed tokens, so ranks equal those of Hugging Face ``generate`` with ``prefix_allowed_tokens_fn``. Items outside the
constraint cannot appear. Fewer allowed items than beams leave dead beams, which come back as ``-1``.

What it does not know: sampling, and identifiers of differing length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from agentrec.core.protocols import Constraint

DEAD = float("-inf")


class Beams(NamedTuple):
    """Ranked items per prompt.

    Attributes:
        items: (B, n) int64 item indexes, ``-1`` where the constraint ran out of items.
        scores: (B, n) float32 sums of log-probabilities, ``-inf`` for ``-1``.
    """

    items: torch.Tensor
    scores: torch.Tensor


@dataclass
class _Tree:
    """What grows from level to level; M' is the width reached so far (1 before the first level)."""

    states: torch.Tensor  # (B, M') constraint states, -1 for dead beams
    scores: torch.Tensor  # (B, M') float32
    visible: torch.Tensor  # (B, M', S) bool: which cached rows each beam may attend to
    tokens: torch.Tensor  # (B, M') newest token of each beam


@torch.inference_mode()
def beam_search(
    model: Any,
    prompts: torch.Tensor,
    mask: torch.Tensor,
    constraint: Constraint,
    token_ids: Sequence[torch.Tensor],
    *,
    num_beams: int = 20,
    n: int | None = None,
    exclude: torch.Tensor | None = None,
) -> Beams:
    """Generate the best items of each prompt.

    Args:
        model: a Hugging Face causal language model in eval mode.
        prompts: (B, T) int64 token ids, padded on either side.
        mask: (B, T) 1 for tokens, 0 for padding; at least one token per row.
        constraint: the allowed code sequences.
        token_ids: per level, (K_l,) int64 token id of each code.
        num_beams: beam width M.
        n: items returned, M by default and at most M.
        exclude: (B, E) int64 item indexes that a row may not get, padded with ``-1``.

    Returns:
        Items and scores, best first.
    """
    n = num_beams if n is None else n
    cache, logits = _prefill(model, prompts, mask)
    lengths = mask.sum(dim=1)
    tree = _Tree(
        states=torch.zeros_like(lengths)[:, None],
        scores=torch.zeros(len(prompts), 1, device=prompts.device),
        visible=mask.bool()[:, None, :],
        tokens=prompts[:, :1],
    )
    last = len(token_ids) - 1
    for level, ids in enumerate(token_ids):
        barred = exclude if level == last else None
        children = constraint.children(level, tree.states)
        tree = _grow(tree, logits, children, ids, num_beams=num_beams, barred=barred)
        if level < last:
            logits = _step(model, cache, tree, positions=(lengths + level)[:, None])
    width = tree.states.shape[1]
    items, scores = tree.states[:, :n], tree.scores[:, :n]
    if width < n:
        items = torch.nn.functional.pad(items, (0, n - width), value=-1)
        scores = torch.nn.functional.pad(scores, (0, n - width), value=DEAD)
    return Beams(items, scores)


def _prefill(model: Any, prompts: torch.Tensor, mask: torch.Tensor) -> tuple[Any, torch.Tensor]:
    """Encode the prompts: the cache, and the logits (B, 1, V) after each row's last token."""
    from transformers import DynamicCache

    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
    cache = DynamicCache(config=model.config)
    last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)
    if bool((last == mask.shape[1] - 1).all()):  # left padding: the head is needed for one position only
        out = model(
            input_ids=prompts, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
        )
        return cache, out.logits
    out = model(input_ids=prompts, attention_mask=mask, position_ids=positions, past_key_values=cache)
    return cache, out.logits.gather(1, last[:, None, None].expand(-1, 1, out.logits.shape[-1]))


def _grow(
    tree: _Tree,
    logits: torch.Tensor,
    children: torch.Tensor,
    ids: torch.Tensor,
    *,
    num_beams: int,
    barred: torch.Tensor | None,
) -> _Tree:
    """Extend every beam by every allowed code and keep the best: logits (B, M', V), children (B, M', K)."""
    logprobs = logits.float().log_softmax(dim=-1)[:, :, ids]
    candidates = (tree.scores[:, :, None] + logprobs).masked_fill(children < 0, DEAD).flatten(1)
    states = children.flatten(1)
    if barred is not None:
        taken = (states[:, :, None] == barred[:, None, :]).any(dim=-1) if barred.shape[1] else states < 0
        candidates = candidates.masked_fill(taken, DEAD)
    scores, chosen = candidates.topk(min(num_beams, candidates.shape[1]), dim=1)
    parents, codes = chosen // len(ids), chosen % len(ids)
    inherited = tree.visible.gather(1, parents[:, :, None].expand(-1, -1, tree.visible.shape[2]))
    own = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device).expand(len(scores), -1, -1)
    return _Tree(
        states=states.gather(1, chosen).masked_fill(scores == DEAD, -1),
        scores=scores,
        visible=torch.cat([inherited, own], dim=2),
        tokens=ids[codes],
    )


def _step(model: Any, cache: Any, tree: _Tree, positions: torch.Tensor) -> torch.Tensor:
    """Feed the newest beam tokens as one row per request; logits (B, M, V)."""
    dtype = next(model.parameters()).dtype
    bias = torch.zeros(tree.visible.shape, dtype=dtype, device=tree.visible.device)
    bias.masked_fill_(~tree.visible, torch.finfo(dtype).min)
    out = model(
        input_ids=tree.tokens,
        attention_mask=bias[:, None],
        position_ids=positions.expand_as(tree.tokens),
        past_key_values=cache,
    )
    return out.logits  # type: ignore[no-any-return]
