"""Soft-label losses: cross entropy at alpha 0, the equation, gradient (P - q) / tau, text rows, far-off logits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError
from agentrec.training.soft_labels import OBJECTIVES, SoftLabelAlignmentLoss, SoftLabels

V = 12


def case(seed: int, rows: int = 6, size: float = 2.0) -> tuple[torch.Tensor, torch.Tensor, SoftLabels]:
    """Logits, labels and soft labels: row 2 is text without a trie, row 3 has a trie and no teacher."""
    rng = torch.Generator().manual_seed(seed)
    widths = torch.randint(1, 6, (rows,), generator=rng)
    widths[2] = 0
    tokens = torch.cat([torch.randperm(V, generator=rng)[:width] for width in widths.tolist()])
    shares = torch.cat([torch.rand(width, generator=rng).softmax(0) for width in widths.tolist()])
    starts = widths.cumsum(0) - widths
    labels = torch.where(widths > 0, tokens[starts.clamp_max(len(tokens) - 1)], 7)
    taught = widths > 0
    taught[3] = False
    return torch.randn(rows, V, generator=rng) * size, labels, SoftLabels(tokens, shares, widths, taught)


def dense(soft: SoftLabels) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares and what may follow as (P, V)."""
    owners = torch.repeat_interleave(soft.widths)
    shares = torch.zeros(len(soft.widths), V, dtype=torch.double)
    shares[owners, soft.tokens] = soft.shares.double()
    allowed = torch.zeros(len(soft.widths), V, dtype=torch.bool)
    allowed[owners, soft.tokens] = True
    return shares, allowed | (soft.widths == 0)[:, None]


def by_autograd(
    logits: torch.Tensor, labels: torch.Tensor, soft: SoftLabels, how: SoftLabelAlignmentLoss, alpha: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The equation over (P, V) in double precision: losses, P and the soft labels."""
    shares, allowed = dense(soft)
    weight = torch.where(soft.taught, alpha, 0.0)[:, None].double()
    label = (1 - weight) * torch.nn.functional.one_hot(labels, V) + weight * shares
    scaled = logits.double() / how.tau
    probability = (scaled.masked_fill(~allowed, -torch.inf) if how.masked else scaled).softmax(1)
    if how.objective == "marginal":
        return -(label * probability).sum(1).log(), probability, label
    return -(label * probability.clamp_min(1e-300).log()).sum(1), probability, label


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.05, 0.5, 1.0]), st.booleans(), st.sampled_from(OBJECTIVES))
def test_losses_and_gradients_are_those_of_the_equation(seed: int, alpha: float, masked: bool, objective: str) -> None:
    logits, labels, soft = case(seed)
    how = SoftLabelAlignmentLoss(tau=1.7, masked=masked, objective=objective)
    ours = logits.clone().requires_grad_()
    losses = how(ours, labels, soft, alpha=alpha)
    upstream = torch.rand(len(labels), generator=torch.Generator().manual_seed(seed))
    (losses * upstream).sum().backward()
    theirs = logits.clone().requires_grad_()
    wanted, probability, label = by_autograd(theirs, labels, soft, how, alpha)
    (wanted * upstream).sum().backward()
    assert torch.allclose(losses.double(), wanted, atol=1e-5)
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)
    q = label * probability / (label * probability).sum(1, keepdim=True) if objective == "marginal" else label
    identity = (probability - q) / how.tau * upstream[:, None]
    assert torch.allclose(ours.grad.double(), identity, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_alpha_zero_is_cross_entropy(masked: bool, objective: str) -> None:
    logits, labels, soft = case(1)
    losses = SoftLabelAlignmentLoss(tau=2.0, masked=masked, objective=objective)(logits, labels, soft, alpha=0.0)
    _, allowed = dense(soft)
    scaled = (logits / 2.0).masked_fill(~allowed, -torch.inf) if masked else logits / 2.0
    wanted = torch.nn.functional.cross_entropy(scaled, labels, reduction="none")
    assert torch.allclose(losses, wanted, atol=1e-6)


def test_what_nobody_teaches_is_cross_entropy_at_any_alpha() -> None:
    logits, labels, soft = case(2)
    losses = SoftLabelAlignmentLoss()(logits, labels, soft, alpha=0.9)
    wanted = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    assert torch.allclose(losses[2:4], wanted[2:4], atol=1e-6)
    assert not torch.allclose(losses[[0, 1, 4, 5]], wanted[[0, 1, 4, 5]], atol=1e-3)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("alpha", [0.0, 0.1, 1.0])
def test_far_off_logits_give_finite_losses_and_gradients(masked: bool, objective: str, alpha: float) -> None:
    logits, labels, soft = case(3, size=300.0)
    logits.requires_grad_()
    soft = soft._replace(shares=torch.where(soft.shares < 0.25, 0.0, soft.shares))
    losses = SoftLabelAlignmentLoss(masked=masked, objective=objective)(logits, labels, soft, alpha=alpha)
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(logits.grad).all()


def test_half_precision_logits_are_summed_in_single() -> None:
    logits, labels, soft = case(4)
    half = logits.bfloat16().requires_grad_()
    losses = SoftLabelAlignmentLoss()(half, labels, soft._replace(shares=soft.shares.half()), alpha=0.3)
    losses.sum().backward()
    wanted = SoftLabelAlignmentLoss()(half.detach().float(), labels, soft, alpha=0.3)
    assert losses.dtype == torch.float32
    assert half.grad.dtype == torch.bfloat16
    assert torch.allclose(losses, wanted, atol=1e-3)


def test_the_marginal_objective_asks_least_where_the_model_already_agrees() -> None:
    """Mass moves to the expected token that the model finds plausible; the other objective moves it to both alike."""
    soft = SoftLabels(torch.arange(3), torch.tensor([0.0, 0.5, 0.5]), torch.tensor([3]), torch.tensor([True]))
    gradients = {}
    for objective in OBJECTIVES:
        logits = torch.tensor([[0.0, 2.0, -2.0]], requires_grad=True)
        SoftLabelAlignmentLoss(objective=objective)(logits, torch.tensor([0]), soft, alpha=1.0).sum().backward()
        gradients[objective] = logits.grad[0]
    assert gradients["marginal"][1] < 0 < -gradients["kl"][2]
    assert abs(gradients["marginal"][2]) < abs(gradients["kl"][2])
    assert math.isclose(float(gradients["marginal"].sum()), 0, abs_tol=1e-6)


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="tau is 0"):
        SoftLabelAlignmentLoss(tau=0)
    with pytest.raises(ConfigError, match="objective is 'js'"):
        SoftLabelAlignmentLoss(objective="js")
