"""Soft labels for the next token: the losses of TCA4Rec (arXiv:2601.18457) and their exact gradient.

A soft label mixes the token that came next with what collaborative filtering expects there::

    soft(v) = (1 - alpha) [v = y] + alpha p(v)

and a model with ``P = softmax(logits / tau)`` pays, by objective,

    marginal   -log sum_v soft(v) P(v)        kl   -sum_v soft(v) log P(v)

The gradient of both is ``(P - q) / tau``. The marginal objective has ``q = soft P / sum soft P``: mass goes to those
expected tokens that the model finds plausible already. The other one has ``q = soft``; it is the Kullback-Leibler
divergence plus the entropy of the soft label, which no weight can change. With ``masked``, P is taken over the tokens
that may follow in the trie instead of the whole vocabulary (the masked softmax loss).

Soft labels are ragged: of each label token only the tokens that may follow it are held. Everything is float32 and sums
of probabilities are taken in log space.

What it does not know: where shares come from (`agentrec.training.soft_tables`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from agentrec.core.errors import ConfigError

OBJECTIVES = ("marginal", "kl")
TINY = torch.finfo(torch.float32).tiny


class SoftLabels(NamedTuple):
    """What may come at each of P label tokens.

    Attributes:
        tokens: (E,) int64, the tokens that may follow, those of one label token side by side; the token that came is
            among them.
        shares: (E,) float, their probabilities by collaborative filtering; any numbers where nothing is taught.
        widths: (P,) int64, how many entries belong to each label token; 0 where no trie holds, which is trained like
            any text.
        taught: (P,) bool, where the shares mean something; elsewhere alpha is 0.
    """

    tokens: torch.Tensor
    shares: torch.Tensor
    widths: torch.Tensor
    taught: torch.Tensor

    def to(self, device: torch.device | str) -> SoftLabels:
        """The same on a device."""
        return SoftLabels(*(part.to(device, non_blocking=True) for part in self))


@dataclass(frozen=True)
class SoftLabelAlignmentLoss:
    """The loss of every label token.

    Attributes:
        tau: temperature of the model's softmax.
        masked: softmax over the tokens that may follow, instead of the whole vocabulary.
        objective: marginal or kl.

    Raises:
        ConfigError: a setting is out of range.

    Example:
        >>> soft = SoftLabels(torch.tensor([0, 1]), torch.tensor([0.5, 0.5]), torch.tensor([2]), torch.tensor([True]))
        >>> round(float(SoftLabelAlignmentLoss()(torch.zeros(1, 4), torch.tensor([0]), soft, alpha=1.0)), 4)
        1.3863
    """

    tau: float = 1.0
    masked: bool = False
    objective: str = "marginal"

    def __post_init__(self) -> None:
        if not self.tau > 0:
            raise ConfigError(f"tau is {self.tau}; expected a temperature above 0")
        if self.objective not in OBJECTIVES:
            raise ConfigError(f"objective is {self.objective!r}; expected {' or '.join(OBJECTIVES)}")

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor, soft: SoftLabels, *, alpha: float) -> torch.Tensor:
        """Losses of label tokens.

        Args:
            logits: (P, V) of any floating type, ``logits[p]`` predicts ``labels[p]``.
            labels: (P,) int64.
            soft: on the same device.
            alpha: weight of the shares, 0 to 1.

        Returns:
            (P,) float32. Where nothing is taught, or alpha is 0, the (masked) cross entropy.
        """
        losses: torch.Tensor = _SoftLabelLoss.apply(logits, labels, soft, self, alpha)  # type: ignore[no-untyped-call]
        return losses


class _SoftLabelLoss(torch.autograd.Function):
    """Loss and its closed gradient in one pass: what is kept for the way back is one (P, V) array."""

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes them by place
        ctx: Any,
        logits: torch.Tensor,
        labels: torch.Tensor,
        soft: SoftLabels,
        how: SoftLabelAlignmentLoss,
        alpha: float,
    ) -> torch.Tensor:
        owners = torch.repeat_interleave(soft.widths)
        scaled = logits.float() / how.tau
        logprobs = _log_softmax(scaled, soft, owners, masked=how.masked)
        label, children = logprobs.gather(1, labels[:, None])[:, 0], logprobs[owners, soft.tokens]
        weight = torch.where(soft.taught, alpha, 0.0).to(label.dtype)
        loss, label_q, child_q = _objective(how.objective, (label, children), soft, owners, weight)
        if logits.requires_grad:
            gradient = logprobs.exp_()
            rows = torch.arange(len(labels), device=labels.device)
            gradient[rows, labels] -= label_q
            gradient.view(-1).index_add_(0, owners * logits.shape[1] + soft.tokens, child_q, alpha=-1)
            ctx.save_for_backward(gradient.div_(how.tau).to(logits.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * outputs[0][:, None].to(gradient.dtype), None, None, None, None


def _objective(
    objective: str,
    logprobs: tuple[torch.Tensor, torch.Tensor],
    soft: SoftLabels,
    owners: torch.Tensor,
    weight: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Losses (P,), and q of the gradient at the labels (P,) and at the entries (E,)."""
    label, children = logprobs
    shares = soft.shares.float()
    if objective == "kl":
        expected = torch.zeros_like(label).index_add_(0, owners, torch.where(shares > 0, shares * children, 0.0))
        expected = torch.where(weight > 0, weight * expected, 0.0)
        return -((1 - weight) * label + expected), 1 - weight, weight[owners] * shares
    joint = children + shares.log()
    expected = weight.log() + _segment_logsumexp(joint, owners, len(label))
    expected = torch.where(weight > 0, expected, -torch.inf)
    label = torch.log1p(-weight) + label
    total = torch.logaddexp(label, expected)
    child_q = (weight[owners].log() + joint - total[owners]).exp()
    return -total, (label - total).exp(), torch.where(weight[owners] > 0, child_q, 0.0)


def _log_softmax(scaled: torch.Tensor, soft: SoftLabels, owners: torch.Tensor, *, masked: bool) -> torch.Tensor:
    """Log-probabilities (P, V), among the entries where there are any and ``masked``, else among all tokens."""
    if not masked:
        return scaled.log_softmax(dim=1)
    places = owners * scaled.shape[1] + soft.tokens
    allowed = torch.zeros(scaled.numel(), dtype=torch.bool, device=scaled.device).index_fill_(0, places, True)
    allowed = allowed.view_as(scaled) | (soft.widths == 0)[:, None]
    return scaled.masked_fill_(~allowed, -torch.inf).log_softmax(dim=1)


def _segment_logsumexp(values: torch.Tensor, owners: torch.Tensor, count: int) -> torch.Tensor:
    """Log of the sum of exponentials of each owner's entries: (E,) -> (count,), ``-inf`` without any."""
    top = torch.full((count,), -torch.inf, device=values.device).scatter_reduce_(0, owners, values, "amax")
    top = top.masked_fill_(top.isneginf(), 0.0)
    sums = torch.zeros(count, device=values.device).index_add_(0, owners, (values - top[owners]).exp_())
    return top + sums.log_()
