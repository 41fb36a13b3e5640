"""Vector quantisation inside a network (torch): choosing codes, learning code vectors, keeping all of them in use.

B batch, K codes, d latent dimension. Codes are chosen without a gradient; `straight_through` lets it pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

NO_MASS = 1e-3  # a running count below this says nothing of where its code belongs
SINKHORN_ROUNDS = 50


@dataclass(frozen=True)
class Rules:
    """How one level learns.

    Attributes:
        normalised: choose by the largest cosine instead of the smallest distance.
        ema_decay: memory of the running means that code vectors are; None: they follow the gradient.
        restart_after: steps without a user after which a code starts again elsewhere; 0: never.
        sinkhorn_epsilon: spread batches evenly over the codes in training, at this temperature; None: do not.
        balance_strength: γ of `balance_factors`; 0: off.
        balance_bound: δ of `balance_factors`.
        balance_decay: memory of the counts that balance looks at.
    """

    normalised: bool = True
    ema_decay: float | None = 0.99
    restart_after: int = 0
    sinkhorn_epsilon: float | None = None
    balance_strength: float = 0.0
    balance_bound: float = 0.0
    balance_decay: float = 0.9


def straight_through(exact: Tensor, quantised: Tensor) -> Tensor:
    """The value of ``quantised`` with the gradient of ``exact`` (Bengio et al., arXiv:1308.3432)."""
    return exact + (quantised - exact).detach()


def squared_distances(points: Tensor, centres: Tensor) -> Tensor:
    """(B, d), (K, d) -> (B, K), none below 0."""
    squares = (points**2).sum(dim=1, keepdim=True) + (centres**2).sum(dim=1)
    return (squares - 2 * points @ centres.T).clamp_min(0)


def balance_factors(counts: Tensor, strength: float, bound: float) -> Tensor:
    """1 + clip(γ (n_k / n̄ - 1), -δ, δ): what distances are multiplied by, so that rare codes seem closer.

    S2GR (arXiv:2601.18664). With δ below 1 a factor stays positive and no code is pushed or pulled beyond it.

    Args:
        counts: (K,) running use of the codes.
        strength: γ.
        bound: δ.

    Returns:
        (K,).
    """
    return 1 + (strength * (counts / counts.mean().clamp_min(1e-12) - 1)).clamp(-bound, bound)


def sinkhorn_codes(distances: Tensor, epsilon: float, rounds: int = SINKHORN_ROUNDS) -> Tensor:
    """Codes of the entropic transport plan that uses all codes of a batch alike (LC-Rec, arXiv:2311.09049).

    Distances are first centred and scaled to -1 ... 1, which ``epsilon`` is relative to. In the log domain, so that a
    small epsilon does not underflow.

    Args:
        distances: (B, K).
        epsilon: temperature of the plan; towards 0 the plan is hard.
        rounds: of normalising columns and rows.

    Returns:
        (B,) int64.
    """
    wide = distances.double()
    middle = (wide.max() + wide.min()) / 2
    plan = -(wide - middle) / (wide.max() - middle).clamp_min(1e-12) / epsilon
    for _ in range(rounds):
        plan = plan - plan.logsumexp(dim=0, keepdim=True)
        plan = plan - plan.logsumexp(dim=1, keepdim=True)
    return plan.argmax(dim=1)


def uniformity_loss(vectors: Tensor, margin: Tensor | float) -> Tensor:
    """Mean over pairs of different codes of max(0, m - ||e_j - e_k||)^2 (S2GR, arXiv:2601.18664): (K, d) -> scalar."""
    size = len(vectors)
    if size < 2:
        return vectors.sum() * 0
    upper = torch.triu_indices(size, size, offset=1, device=vectors.device)
    distances = (squared_distances(vectors, vectors)[upper[0], upper[1]] + 1e-12).sqrt()
    return ((margin - distances).clamp_min(0) ** 2).mean()


class Codebook(nn.Module):
    """The code vectors of one level and the record of their use.

    Args:
        centres: (K, d) float32, where code vectors start.
        rules: how they are chosen and learn.
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor
    load: Tensor
    idle: Tensor

    def __init__(self, centres: Tensor, rules: Rules) -> None:
        super().__init__()
        self.rules = rules
        self.restarts = 0
        self.vectors = nn.Parameter(centres.clone(), requires_grad=rules.ema_decay is None)
        ones = torch.ones(len(centres), device=centres.device)
        self.register_buffer("counts", ones.clone())  # EMA of use, in items per step
        self.register_buffer("sums", centres.clone())  # EMA of the sums of members; vectors = sums / counts
        self.register_buffer("load", ones.clone())
        self.register_buffer("idle", torch.zeros(len(centres), dtype=torch.int64, device=centres.device))

    @torch.no_grad()
    def choose(self, points: Tensor) -> Tensor:
        """Codes of residuals, (B, d) -> (B,) int64; in training mode balanced and spread as the rules say."""
        rules = self.rules
        if rules.normalised:
            units = nn.functional.normalize(self.vectors, dim=1)
            distances = squared_distances(nn.functional.normalize(points, dim=1), units)
        else:
            distances = squared_distances(points, self.vectors)
        if not self.training:
            return distances.argmin(dim=1)
        if rules.balance_strength:
            distances = distances * balance_factors(self.load, rules.balance_strength, rules.balance_bound)
        if rules.sinkhorn_epsilon is not None:
            return sinkhorn_codes(distances, rules.sinkhorn_epsilon)
        return distances.argmin(dim=1)

    @torch.no_grad()
    def learn(self, points: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Take note of one training batch: running means, use, and codes that start again.

        Args:
            points: (B, d) residuals.
            codes: (B,) int64, as chosen.
            generator: says which residuals unused codes start again at.
        """
        rules, used = self.rules, torch.bincount(codes, minlength=len(self.vectors)).to(points.dtype)
        self.load.mul_(rules.balance_decay).add_(used, alpha=1 - rules.balance_decay)
        if rules.ema_decay is not None:
            self.counts.mul_(rules.ema_decay).add_(used, alpha=1 - rules.ema_decay)
            self.sums.mul_(rules.ema_decay).index_add_(0, codes, points, alpha=1 - rules.ema_decay)
            known = self.counts > NO_MASS
            self.vectors[known] = self.sums[known] / self.counts[known, None]
        self.idle.add_(1)
        self.idle[used > 0] = 0
        if rules.restart_after:
            self._restart(points, generator)

    def _restart(self, points: Tensor, generator: torch.Generator) -> None:
        dead = (self.idle >= self.rules.restart_after).nonzero()[:, 0][: len(points)]
        if not len(dead):
            return
        chosen = torch.randperm(len(points), generator=generator)[: len(dead)].to(points.device)
        fair = self.counts.mean() if self.rules.ema_decay is not None else self.load.mean()
        self.vectors.data[dead] = points[chosen]
        self.counts[dead], self.load[dead], self.idle[dead] = fair, self.load.mean(), 0
        self.sums[dead] = points[chosen] * fair
        self.restarts += len(dead)
