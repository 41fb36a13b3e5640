"""Mixtures of Gaussians with diagonal covariances, fitted by expectation-maximisation (EM).

A point x has density sum_k pi_k N(x | mu_k, diag(sigma^2_k)). The log densities of all components are one matrix
product, of (1, x, x^2) with K columns of coefficients, and the sums that the M step needs are another. Products take
the type of the points (float32 is fast), sums over points are float64, and everything stays in log space, so that
neither far points nor narrow components underflow.

Variances never fall below a floor, which is the maximiser under that bound, and may be drawn towards a common value
per dimension (an inverse-gamma prior). Posteriors may be sharpened, gamma_k ~ (pi_k N(x | k))^beta, as in
deterministic annealing (Ueda & Nakano, 1998): beta = 1 is EM proper, a large one decides for a component. In every case
no step lowers the objective, sum_n 1/beta log sum_k (pi_k N(x_n | k))^beta plus the log prior; for beta = 1 the first
is the log likelihood.

What it does not know: where points come from, hard codes, levels. Give points near the origin and of scale about 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Generator, Tensor

CELLS = 1 << 19  # chunk size x K: log densities of a chunk stay in the processor's cache
ROUNDING = 2e-6  # of log densities in float32, relative to the sum of their parts' sizes
NOTHING = -60.0  # logs of posteriors stay above: 1e-26 changes no sum, and subnormal numbers are slow
NONE = 1e-10  # a component with fewer points than this has no mean of its own


class Mixture(NamedTuple):
    """K components over D dimensions.

    Attributes:
        log_weights: (K,) float64.
        means: (K, D) float64.
        variances: (K, D) float64, positive.
    """

    log_weights: Tensor
    means: Tensor
    variances: Tensor


class Prior(NamedTuple):
    """What is known of the variances beforehand.

    Attributes:
        floor: no variance falls below it; positive.
        variances: (D,) float64, the common value of each dimension.
        strength: each component has seen this many points of the common variance; 0: none.
    """

    floor: float
    variances: Tensor
    strength: float = 0.0


class Moments(NamedTuple):
    """What an E step leaves for the M step.

    Attributes:
        sums: (K, 1 + 2 D) float64: posterior sums of 1, x and x^2.
        log_likelihood: sum over the points, sharpened.
    """

    sums: Tensor
    log_likelihood: float


class Fit(NamedTuple):
    """A fitted mixture.

    Attributes:
        mixture: the components.
        objective: what EM raises, per point, before each M step.
        reseeded: how many components were moved after each M step; where it is not 0, the objective may fall.
    """

    mixture: Mixture
    objective: list[float]
    reseeded: list[int]


def _features(points: Tensor) -> Tensor:
    import torch

    return torch.cat([torch.ones_like(points[:, :1]), points, points * points], dim=1)


def _coefficients(mixture: Mixture, like: Tensor) -> Tensor:
    """(1 + 2 D, K): log pi N(x) is linear in (1, x, x^2)."""
    import torch

    log_weights, means, variances = mixture
    logs = (2 * math.pi * variances).log() + means * means / variances
    constant = log_weights - 0.5 * logs.sum(dim=1)
    return torch.cat([constant[None], (means / variances).T, (-0.5 / variances).T]).to(like.dtype)


def chunks(points: Tensor, size: int) -> Iterator[Tensor]:
    """Consecutive rows, so many that their densities under ``size`` components stay small."""
    step = max(64, CELLS // size)
    yield from (points[start : start + step] for start in range(0, len(points), step))


def log_densities(points: Tensor, mixture: Mixture) -> Tensor:
    """log pi_k N(x | k) of every point and component: (N, D) -> (N, K) of the same type."""
    return _features(points) @ _coefficients(mixture, points)


def most_likely(points: Tensor, mixture: Mixture) -> Tensor:
    """The likeliest component of each point, the first of equals: (N, D) float64 -> (N,) int64.

    Products are taken in float32. Points for which another component is as likely within rounding are decided in
    float64, so that a point's answer does not depend on the points beside it.
    """
    import torch

    wide = _coefficients(mixture, points)
    short, largest = wide.float(), wide.abs().amax(dim=1).float()
    found = [torch.zeros(0, dtype=torch.int64, device=points.device)]
    for part in chunks(points, len(mixture.means)):
        features = _features(part.float())
        scores = features @ short
        top, best = scores.max(dim=1)
        lowest = top - ROUNDING * (features.abs() @ largest)
        close = ((scores >= lowest[:, None]).sum(dim=1) != 1).nonzero()[:, 0]  # 0: not a number, beyond float32
        best[close] = (_features(part[close]) @ wide).argmax(dim=1)
        found.append(best)
    return torch.cat(found)


def moments(points: Tensor, mixture: Mixture, sharpness: float = 1.0) -> Moments:
    """The E step: posteriors, sharpened, summed over the points, which are (N, D)."""
    import torch

    coefficients = sharpness * _coefficients(mixture, points)
    sums = torch.zeros((len(mixture.means), len(coefficients)), dtype=torch.float64, device=points.device)
    total = torch.zeros((), dtype=torch.float64, device=points.device)
    for part in chunks(points, len(mixture.means)):
        features = _features(part)
        scores = features @ coefficients
        top = scores.amax(dim=1, keepdim=True)
        scores.sub_(top).clamp_min_(NOTHING).exp_()
        evidence = scores.sum(dim=1, keepdim=True)  # 1 or more
        sums += (scores.T @ features.div_(evidence)).double()
        total += (top.double() + evidence.double().log()).sum()
    return Moments(sums, float(total) / sharpness)


def maximise(sums: Tensor, prior: Prior) -> Mixture:
    """The M step.

    Args:
        sums: (K, 1 + 2 D) float64, as in `Moments`.
        prior: of the variances.
    """
    dimension = (sums.shape[1] - 1) // 2
    counts = sums[:, :1].clamp_min(NONE)
    means = sums[:, 1 : 1 + dimension] / counts
    spread = sums[:, 1 + dimension :] - counts * means * means
    variances = (spread + prior.strength * prior.variances) / (counts + prior.strength)
    log_weights = (counts[:, 0] / counts.sum()).log()
    return Mixture(log_weights, means, variances.clamp_min(prior.floor))


def log_prior(mixture: Mixture, prior: Prior) -> float:
    """Log density of the variances under the prior, less that of the common ones: 0 at those, negative elsewhere."""
    ratio = prior.variances / mixture.variances
    return -0.5 * prior.strength * float((ratio - 1 - ratio.log()).sum())


def start_at(points: Tensor, codes: Tensor, size: int, floor: float, strength: float) -> tuple[Mixture, Prior]:
    """A mixture from a clustering, and the prior that draws variances to those inside its clusters.

    Args:
        points: (N, D).
        codes: (N,) int64, cluster of each point.
        size: K; every cluster has a point.
        floor: of the variances.
        strength: of the prior; the start itself counts one common point per component at least.
    """
    import torch

    dimension = points.shape[1]
    sums = torch.zeros((size, 1 + 2 * dimension), dtype=torch.float64, device=points.device)
    for part, code in zip(chunks(points, size), chunks(codes, size), strict=True):
        sums.index_add_(0, code, _features(part.double()))
    totals = sums[:, 1 : 1 + dimension]
    inside = sums[:, 1 + dimension :] - totals * totals / sums[:, :1]
    prior = Prior(floor, (inside.sum(dim=0) / len(points)).clamp_min(floor), strength)
    return maximise(sums, prior._replace(strength=max(strength, 1.0))), prior


def split_heaviest(mixture: Mixture, starved: Tensor, generator: Generator) -> Mixture:
    """Put every starved component on one of the heaviest, and push the two apart by noise of half its spread.

    Args:
        mixture: K components; the starved are fewer than half of them.
        starved: (S,) int64.
        generator: of the noise.
    """
    import torch

    log_weights, means, variances = (part.clone() for part in mixture)
    log_weights[starved] = -math.inf
    heavy = torch.argsort(log_weights, descending=True, stable=True)[: len(starved)]
    noise = torch.randn((len(starved), means.shape[1]), generator=generator, dtype=means.dtype).to(means.device)
    shift = 0.5 * noise * variances[heavy].sqrt()
    means[starved], means[heavy] = means[heavy] + shift, means[heavy] - shift
    variances[starved] = variances[heavy]
    log_weights[heavy] -= math.log(2)
    log_weights[starved] = log_weights[heavy]
    return Mixture(log_weights, means, variances)


def expectation_maximisation(
    points: Tensor,
    start: Mixture,
    prior: Prior,
    *,
    max_iter: int,
    tolerance: float,
    sharpness: float = 1.0,
    seed: int = 0,
) -> Fit:
    """Fit a mixture to points.

    Components that hold less than one point are re-seeded in the first half of the iterations.

    Args:
        points: (N, D), float32 or float64.
        start: where to begin.
        prior: of the variances.
        max_iter: M steps, at most.
        tolerance: stop when the objective rises by less than this per point.
        sharpness: beta, power of the posteriors; 1: EM.
        seed: of the re-seeding.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    mixture, objective, reseeded = start, list[float](), list[int]()
    for step in range(max_iter + 1):
        found = moments(points, mixture, sharpness)
        objective.append((found.log_likelihood + log_prior(mixture, prior)) / len(points))
        settled = step > 0 and reseeded[-1] == 0 and objective[-1] - objective[-2] < tolerance
        if settled or step == max_iter:
            break
        mixture = maximise(found.sums, prior)
        starved = (found.sums[:, 0] < 1).nonzero()[:, 0] if 2 * step < max_iter else torch.zeros(0, dtype=torch.int64)
        starved = starved[: (len(mixture.means) - 1) // 2]
        if len(starved):
            mixture = split_heaviest(mixture, starved, generator)
        reseeded.append(len(starved))
    return Fit(mixture, objective, reseeded)
