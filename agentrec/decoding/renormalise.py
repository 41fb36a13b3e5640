"""Log-probabilities over the allowed tokens only: how likely a constrained generator is to write what it wrote.

A generator that samples under a constraint draws from its own distribution cut to the allowed tokens. Reinforcement
learning that scores these tokens over the full vocabulary sees another policy: the ratio of the two is not 1 but 1e-13
for a semantic ID of four codes, and nothing is learned, silently. Here the scores are cut by the same constraint.

What it does not know: top-k, top-p and other cuts of sampling; leave them off while learning.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from agentrec.core.errors import DataError
from agentrec.decoding.children.candidates import DEAD, not_a_number
from agentrec.decoding.grammar import Outline


class Scored(NamedTuple):
    """What a generator thinks of tokens that were written.

    Attributes:
        logprobs: (B, T) float32 log-probabilities among the allowed tokens; 0 where nothing else was allowed.
        entropies: (B, T) float32 entropies of the distribution over the allowed tokens, in nats.
    """

    logprobs: torch.Tensor
    entropies: torch.Tensor


def renormalised_logprobs(
    logits: torch.Tensor,
    tokens: torch.Tensor,
    outline: Outline,
    *,
    mask: torch.Tensor | None = None,
    temperature: float = 1.0,
) -> Scored:
    """Score outputs under the constraint that they were written under; gradients flow to the allowed logits.

    Args:
        logits: (B, T, V), ``logits[:, t]`` predicts ``tokens[:, t]``.
        tokens: (B, T) int64 outputs from their first token on, their end tokens included.
        outline: what could be written.
        mask: (B, T), 0 for padding, whose scores are 0; everything counts by default.
        temperature: of sampling, by which logits are divided.

    Raises:
        DataError: a token that counts was not allowed, a logit is not a number, or the vocabulary is too small.
    """
    outline.fits(logits.shape[-1])
    counts = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.bool()
    begins = outline.begins(tokens)
    scored = _constrained(logits, tokens, outline, begins, temperature)
    if outline.marker is not None:
        columns = torch.arange(tokens.shape[1], device=tokens.device)
        free = columns < begins[:, None]
        text = _text(logits, tokens, outline, temperature)
        place = (columns - begins[:, None]).clamp_min(0)
        scored = Scored(*(torch.where(free, one, two.gather(1, place)) for one, two in zip(text, scored, strict=True)))
    _check(scored, tokens, counts)
    return Scored(scored.logprobs.masked_fill(~counts, 0.0), scored.entropies.masked_fill(~counts, 0.0))


def _constrained(
    logits: torch.Tensor, tokens: torch.Tensor, outline: Outline, begins: torch.Tensor, temperature: float
) -> Scored:
    """Scores of the constrained parts, each from the first column on; what stands behind their ends is scored 0."""
    grammar, width = outline.grammar, tokens.shape[1]
    places = begins[:, None] + torch.arange(width, device=tokens.device)
    places = places.clamp_max(width - 1)
    written = tokens.gather(1, places)
    rows = torch.arange(len(tokens), device=tokens.device)
    reached = grammar.walk(written)
    logprobs, entropies = [], []
    for column in range(min(width, grammar.max_tokens + 1)):
        choice = grammar.choices(written[:, :column], reached[:, :column]).or_end(grammar.eos)
        line = logits[rows, places[:, column]].gather(1, choice.tokens)
        distribution = _log_softmax(line, choice.allowed, temperature)
        chosen = choice.allowed & (choice.tokens == written[:, column, None])
        logprobs.append(distribution.masked_fill(~chosen, 0.0).sum(dim=1).masked_fill(~chosen.any(dim=1), DEAD))
        entropies.append(_entropy(distribution))
    nothing = torch.zeros(len(tokens), max(0, width - len(logprobs)), device=logits.device)
    return Scored(
        torch.cat([torch.stack(logprobs, dim=1), nothing], dim=1),
        torch.cat([torch.stack(entropies, dim=1), nothing], dim=1),
    )


def _text(logits: torch.Tensor, tokens: torch.Tensor, outline: Outline, temperature: float) -> Scored:
    """Scores of all columns as if they were free text."""
    allowed = outline.text_mask(logits.shape[-1], logits.device).expand(tokens.shape[1], -1)
    if outline.max_text is not None:
        allowed = allowed.clone()
        allowed[outline.max_text :] = False
        allowed[outline.max_text :, outline.marker] = True
    distribution = _log_softmax(logits, allowed, temperature)
    return Scored(distribution.gather(2, tokens[:, :, None])[:, :, 0], _entropy(distribution))


def _log_softmax(logits: torch.Tensor, allowed: torch.Tensor, temperature: float) -> torch.Tensor:
    """Log-probabilities among the allowed entries of the last dimension, ``-inf`` elsewhere."""
    return (logits.float() / temperature).masked_fill(~allowed, DEAD).log_softmax(dim=-1)


def _entropy(distribution: torch.Tensor) -> torch.Tensor:
    """Entropy of log-probabilities along the last dimension; impossible entries count 0."""
    impossible = distribution == DEAD
    return -(distribution.exp() * distribution.masked_fill(impossible, 0.0)).sum(dim=-1)


def _check(scored: Scored, tokens: torch.Tensor, counts: torch.Tensor) -> None:
    """Refuse what cannot have been written under the constraint."""
    if bool((scored.logprobs.isnan() & counts).any()):
        not_a_number()
    wrong = (scored.logprobs == DEAD) & counts
    if bool(wrong.any()):
        row, column = wrong.nonzero()[0].tolist()
        raise DataError(
            f"output {row} has token {int(tokens[row, column])} at place {column}, which the constraint did not allow "
            "there; expected outputs that were generated under it, so generate and learn with the same one"
        )
