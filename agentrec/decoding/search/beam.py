"""Constrained beam search over semantic IDs, exact, with the beams of a request as a tree in one row.

Scores are the sum of log-probabilities over the model's full vocabulary, so ranks equal those of Hugging Face
``generate`` with ``prefix_allowed_tokens_fn``. Items outside the constraint cannot appear; fewer allowed items than
beams leave dead beams, which come back as ``-1``. Another rule (`agentrec.decoding.search.rules`) turns the same search
into sampling or fusion, another plan (`agentrec.decoding.search.plan`) changes its width by level or spreads it over
first codes.

What it does not know: identifiers of differing length, and several items per output
(`agentrec.decoding.search.slates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from agentrec.core.errors import ConfigError
from agentrec.core.protocols import Constraint
from agentrec.decoding.children.candidates import DEAD, Candidates, Frontier
from agentrec.decoding.search.plan import BeamPlan
from agentrec.decoding.search.prompt import Prompt, read_prompts
from agentrec.decoding.search.rules import Ask, Likeliest, Rule
from agentrec.decoding.search.tree import BeamTree


class Beams(NamedTuple):
    """Ranked items per prompt.

    Attributes:
        items: (B, n) int64 item indexes, ``-1`` where the constraint ran out of items.
        scores: (B, n) float32, by which they are ranked: sums of log-probabilities unless the rule says otherwise;
            ``-inf`` for ``-1``.
        logprobs: (B, n) float32 log-probabilities, where scores are something else.
    """

    items: torch.Tensor
    scores: torch.Tensor
    logprobs: torch.Tensor | None = None


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

    Raises:
        ConfigError: the model cannot be searched as a tree, or n exceeds the width.
        DataError: a log-probability is not a number.
    """
    prompt = read_prompts(model, prompts, mask)
    return search(prompt, constraint, token_ids, plan=BeamPlan((num_beams,)), n=n, exclude=exclude)


@torch.inference_mode()
def search(
    prompt: Prompt,
    constraint: Constraint,
    token_ids: Sequence[torch.Tensor],
    *,
    plan: BeamPlan | None = None,
    rule: Rule | None = None,
    n: int | None = None,
    exclude: torch.Tensor | None = None,
) -> Beams:
    """Search behind prompts that were read before, as often as one likes.

    Args:
        prompt: B prompts.
        constraint: the allowed code sequences.
        token_ids: per level, (K_l,) int64 token id of each code.
        plan: widths; 20 beams by default.
        rule: which beams go on; the likeliest by default.
        n: items returned, the last width by default and at most that.
        exclude: (B, E) int64 item indexes that a row may not get, padded with ``-1``.

    Raises:
        ConfigError: n exceeds the last width, or a plan and a rule that do not go together.
        DataError: a log-probability is not a number.
    """
    plan = plan or BeamPlan()
    n = plan.widths[-1] if n is None else n
    if n > plan.widths[-1]:
        raise ConfigError(f"n is {n} and the beam {plan.widths[-1]} wide; expected a beam at least as wide as the list")
    if rule is not None and plan.precut is not None:
        raise ConfigError("the beam plan has a precut and the search a rule of its own; expected one of them")
    rule = rule or Likeliest(plan.precut)
    sizes, levels = constraint.level_sizes, range(len(token_ids))
    widths = [plan.at(level, sizes if rule.distinct else None) for level in levels]
    tree, beams = BeamTree(prompt, sum(widths[:-1])), root(prompt)
    for level, columns in enumerate(token_ids):
        last = level == len(token_ids) - 1
        ask = Ask(constraint, beams, tree.logits, columns, exclude if last else None)
        found = _next(rule, ask, plan, widths[level])
        beams = Frontier(level + 1, found.states, found.scores, found.logprobs)
        if not last:
            tree.grow(found.parents, columns[found.codes])
    return _ranked(beams, n)


def root(prompt: Prompt) -> Frontier:
    """One beam per prompt, before the first level."""
    states = torch.zeros_like(prompt.lengths)[:, None]
    return Frontier(0, states, torch.zeros(states.shape, device=states.device))


def _next(rule: Rule, ask: Ask, plan: BeamPlan, width: int) -> Candidates:
    """The next beams; in groups, each group for itself."""
    if plan.groups == 1 or ask.beams.level == 0:
        return rule.choose(ask, width)
    groups = min(plan.groups, ask.constraint.level_sizes[0])
    rows, old = ask.beams.states.shape
    split = [None if part is None else part.reshape(rows * groups, old // groups) for part in ask.beams[1:]]
    barred = None if ask.barred is None else ask.barred.repeat_interleave(groups, dim=0)
    logits = ask.logits.reshape(rows * groups, old // groups, -1)
    beams = Frontier(ask.beams.level, *split)  # type: ignore[arg-type]
    found = rule.choose(Ask(ask.constraint, beams, logits, ask.columns, barred), width // groups)
    first = torch.arange(groups, device=logits.device).repeat_interleave(width // groups) * (old // groups)
    merged = [None if part is None else part.reshape(rows, width) for part in found]
    return Candidates(*merged)._replace(parents=found.parents.reshape(rows, width) + first)  # type: ignore[arg-type]


def _ranked(beams: Frontier, n: int) -> Beams:
    """The n best beams, padded."""
    scores, order = beams.scores.sort(dim=1, descending=True, stable=True)
    states = beams.states.gather(1, order)[:, :n]
    logprobs = None if beams.logprobs is None else beams.logprobs.gather(1, order)[:, :n]
    short = n - states.shape[1]
    if short > 0:
        pad: Any = torch.nn.functional.pad
        states, scores = pad(states, (0, short), value=-1), pad(scores, (0, short), value=DEAD)
        logprobs = None if logprobs is None else pad(logprobs, (0, short), value=DEAD)
    return Beams(states, scores[:, :n], logprobs)
