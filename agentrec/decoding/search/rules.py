"""How a search chooses the beams that go on. `Likeliest` is beam search; the others sample, renormalise or fuse.

A rule looks at one level: beams, logits and the constraint come in, the next beams come out. It keeps nothing between
levels; what it must remember of a beam travels in `Frontier.logprobs`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

import torch

from agentrec.core.errors import ConfigError
from agentrec.core.protocols import Constraint
from agentrec.decoding.children.candidates import DEAD, Candidates, Frontier, best, check_numbers, chosen
from agentrec.decoding.children.normaliser import log_total


class Ask(NamedTuple):
    """One level of a search.

    Attributes:
        constraint: what is allowed.
        beams: to be continued.
        logits: (B, M, V) over the model's whole vocabulary.
        columns: (K,) int64, token id of each code.
        barred: (B, X) int64 items that a row may not get; None above the last level.
    """

    constraint: Constraint
    beams: Frontier
    logits: torch.Tensor
    columns: torch.Tensor
    barred: torch.Tensor | None = None

    @property
    def is_last(self) -> bool:
        """Whether items lie behind this level."""
        return self.beams.level == len(self.constraint.level_sizes) - 1

    def allowed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities over the *allowed* codes alone, and next states: (B, M, K) each, ``-inf`` and ``-1``."""
        children = self.constraint.children(self.beams.level, self.beams.states)
        if self.barred is not None and self.barred.shape[1]:
            taken = (children[..., None] == self.barred[:, None, None, :]).any(dim=-1)
            children = children.masked_fill(taken, -1)
        masked = self.logits[..., self.columns].float().masked_fill(children < 0, DEAD)
        normaliser = masked.logsumexp(dim=-1, keepdim=True)
        return (masked - normaliser.masked_fill(normaliser == DEAD, 0.0)), children


class Rule(Protocol):
    """Chooses the k beams that go on.

    Attributes:
        distinct: no two beams are the same, so that there is no use in more of them than there are code sequences.
    """

    distinct: ClassVar[bool]

    def choose(self, ask: Ask, k: int) -> Candidates:
        """The next beams, best first."""


@dataclass(frozen=True)
class Likeliest:
    """Exact beam search: the k largest sums of log-probabilities over the model's whole vocabulary.

    Nothing is renormalised, so ranks are those of Hugging Face ``generate`` with ``prefix_allowed_tokens_fn``.

    Attributes:
        precut: see `agentrec.decoding.search.plan.BeamPlan`.
    """

    distinct: ClassVar[bool] = True

    precut: int | None = None

    def choose(self, ask: Ask, k: int) -> Candidates:
        """See `Rule`."""
        level, states, scores, _ = ask.beams
        normaliser = log_total(ask.logits)
        start = (scores - normaliser).masked_fill(normaliser == DEAD, DEAD)
        options = {"columns": ask.columns, "barred": ask.barred}
        if self.precut is None or states.shape[1] == 1:
            return best(ask.constraint, Frontier(level, states, start), ask.logits, k, **options)
        return self._per_beam(ask, start, k, self.precut)

    def _per_beam(self, ask: Ask, start: torch.Tensor, k: int, most: int) -> Candidates:
        rows, width = start.shape
        one = Frontier(ask.beams.level, ask.beams.states.reshape(-1, 1), start.reshape(-1, 1))
        barred = None if ask.barred is None else ask.barred.repeat_interleave(width, dim=0)
        found = best(ask.constraint, one, ask.logits.flatten(0, 1)[:, None], most, columns=ask.columns, barred=barred)
        size = len(ask.columns)
        beam = torch.arange(width, device=start.device)[None, :, None]
        places = beam * size + found.codes.view(rows, width, most)
        return chosen(found.scores.view(rows, -1), found.states.view(rows, -1), places.flatten(1), size, k)


@dataclass(frozen=True)
class Renormalised:
    """Beam search whose probabilities are over the allowed codes alone, as constrained sampling has them.

    It ranks otherwise than `Likeliest`: a prefix with one continuation pays nothing for it.
    """

    distinct: ClassVar[bool] = True

    def choose(self, ask: Ask, k: int) -> Candidates:
        """See `Rule`."""
        logprobs, children = ask.allowed()
        return _pick(ask.beams.scores[..., None] + logprobs, children, k)


@dataclass(frozen=True)
class Sampled:
    """k independent walks, each code drawn from the allowed ones: with replacement, so items may repeat.

    Attributes:
        generator: of the draws.
        temperature: of the logits; above 0.
    """

    distinct: ClassVar[bool] = False

    generator: torch.Generator
    temperature: float = 1.0

    def choose(self, ask: Ask, k: int) -> Candidates:
        """See `Rule`; walks keep their places, and a walk without continuation dies."""
        logprobs, children = _at_temperature(ask, self.temperature)
        rows, width, size = logprobs.shape
        draws = k if width == 1 else 1
        dead = (children < 0).all(dim=-1)
        safe = torch.where(dead[..., None], torch.zeros_like(logprobs), logprobs).exp().flatten(0, 1)
        codes = torch.multinomial(safe, draws, replacement=True, generator=self.generator).view(rows, width * draws)
        parents = torch.arange(width, device=codes.device).repeat_interleave(draws).expand(rows, -1)
        where = parents * size + codes
        scores = (ask.beams.scores[..., None] + logprobs).flatten(1).gather(1, where)
        states = children.flatten(1).gather(1, where)
        check_numbers(scores)
        return Candidates(scores.masked_fill(states < 0, DEAD), parents, codes, states)


@dataclass(frozen=True)
class WithoutReplacement:
    """k different walks, drawn without replacement: stochastic beam search (arXiv 1903.06059, Gumbel top-k).

    Scores are perturbed log-probabilities: in their order, items are a sample without replacement from the model's
    distribution over the allowed items. `Frontier.logprobs` holds the log-probabilities.

    Attributes:
        generator: of the draws.
        temperature: of the logits; above 0.
    """

    distinct: ClassVar[bool] = True

    generator: torch.Generator
    temperature: float = 1.0

    def choose(self, ask: Ask, k: int) -> Candidates:
        """See `Rule`."""
        logprobs, children = _at_temperature(ask, self.temperature)
        so_far = ask.beams.scores if ask.beams.logprobs is None else ask.beams.logprobs
        phi = so_far[..., None] + logprobs
        noise = torch.rand(phi.shape, generator=self.generator, device=phi.device).clamp_(1e-20, 1 - 1e-7)
        drawn = phi - noise.log().neg().log()
        if ask.beams.level == 0:
            found = _pick(drawn, children, k)
        else:
            found = _pick(_under(ask.beams.scores[..., None], drawn), children, k)
        size = phi.shape[-1]
        return found._replace(logprobs=phi.flatten(1).gather(1, found.parents * size + found.codes))


Fuse = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Fused:
    """Beam search over prefixes, and another rule of adding up where a prefix meets its item.

    Attributes:
        fuse: scores of prefixes (B, M) and log-probabilities of their allowed continuations (B, M, K), ``-inf`` where
            not allowed -> joint scores (B, M, K); for example `adaptive_fusion`.
        level: at which the item follows its prefix; the last one by default.
    """

    distinct: ClassVar[bool] = True

    fuse: Fuse
    level: int | None = None
    before: Rule = field(default_factory=Likeliest)

    def choose(self, ask: Ask, k: int) -> Candidates:
        """See `Rule`."""
        if not (ask.is_last if self.level is None else ask.beams.level == self.level):
            return self.before.choose(ask, k)
        logprobs, children = ask.allowed()
        joint = self.fuse(ask.beams.scores, logprobs)
        if joint.shape != logprobs.shape:
            raise ConfigError(f"the fusion rule gave scores {tuple(joint.shape)}; expected {tuple(logprobs.shape)}")
        return _pick(joint, children, k)


def adaptive_fusion(tau: float = 0.07, least: float = 0.05) -> Fuse:
    """SIGMA's adaptive probabilistic fusion (arXiv 2602.22913, three-step generation, step iii).

    Within a prefix, continuations get ``softmax(x * sd / tau)`` with x their log-probabilities and sd the standard
    deviation of the prefixes' scores: where prefixes are clearly ranked, items are told apart sharply too.

    Args:
        tau: temperature.
        least: bound of sd from below, for prefixes that tie.

    Raises:
        ConfigError: a setting is not above 0.
    """
    if not (tau > 0 and least > 0):
        raise ConfigError(f"adaptive fusion has tau {tau} and least {least}; expected both above 0")

    def fuse(prefixes: torch.Tensor, logprobs: torch.Tensor) -> torch.Tensor:
        alive = prefixes != DEAD
        count = alive.sum(dim=1, keepdim=True).clamp_min(1)
        mean = prefixes.masked_fill(~alive, 0.0).sum(dim=1, keepdim=True) / count
        spread = ((prefixes - mean).masked_fill(~alive, 0.0).square().sum(dim=1, keepdim=True) / count).sqrt()
        sharp = logprobs * (spread.clamp_min(least) / tau)[..., None]
        total = sharp.logsumexp(dim=-1, keepdim=True)
        return prefixes[..., None] + sharp - total.masked_fill(total == DEAD, 0.0)

    return fuse


def _at_temperature(ask: Ask, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ConfigError(f"the temperature is {temperature}; expected a number above 0")
    logprobs, children = ask.allowed()
    scaled = logprobs / temperature
    total = scaled.logsumexp(dim=-1, keepdim=True)
    return scaled - total.masked_fill(total == DEAD, 0.0), children


def _under(parent: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Gumbel draws of the children of a beam, given that their maximum is the beam's own (the paper's appendix B.3)."""
    top = drawn.max(dim=-1, keepdim=True).values
    gap = parent - drawn + torch.log1p(-(drawn - top).exp())
    found = parent - gap.relu() - torch.log1p((-gap.abs()).exp())
    at_top = torch.where(drawn == top, parent.expand_as(drawn), found)
    return torch.where((drawn == DEAD) | (parent == DEAD), torch.full_like(drawn, DEAD), at_top)


def _pick(values: torch.Tensor, children: torch.Tensor, k: int) -> Candidates:
    size = values.shape[-1]
    flat = values.masked_fill(children < 0, DEAD).flatten(1)
    places = torch.arange(flat.shape[1], device=flat.device).expand_as(flat)
    return chosen(flat, children.flatten(1), places, size, k)
