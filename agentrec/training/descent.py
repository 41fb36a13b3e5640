"""Gradient descent on a next-item network, stopped early on validation users.

AdamW, or Muon beside it, with warm-up and cosine decay on length-bucketed batches; NDCG@10 over the full catalogue,
on a sample of the validation users, decides when to stop and which epoch is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from agentrec.core.errors import DataError
from agentrec.core.types import HeldOut, Histories
from agentrec.metrics.ranking import ndcg, target_ranks
from agentrec.models.sasrec import SASRec, left_aligned
from agentrec.training.batches import batches_by_length
from agentrec.training.cf import Config
from agentrec.training.optim import MuonSettings, muon_for


@dataclass
class Progress:
    """What training saw, epoch by epoch."""

    losses: list[float] = field(default_factory=list)
    ndcgs: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Epoch (0-based) with the best validation NDCG@10."""
        return int(np.argmax(self.ndcgs))


def descend(
    model: SASRec, train: Histories, validation: HeldOut, config: Config, *, progress: bool = False
) -> Progress:
    """Train a model's network in place and leave it at its best validated epoch.

    Raises:
        DataError: no training history has two items.
    """
    kept = np.flatnonzero(train.lengths >= 2)
    if len(kept) == 0:
        raise DataError(
            f"none of the {len(train)} training histories has two items; expected at least one, so add interactions or "
            "use a counted model"
        )
    train = train.take(kept)
    judges = validation.sample(config.validation_users, config.seed)
    network, seen = model.network, Progress()
    optimiser, schedule = _optimiser(network, config, math.ceil(len(train) / config.batch_size))
    best = {}
    with torch.random.fork_rng(devices=[]), tqdm(range(config.epochs), disable=not progress, desc="epochs") as bar:
        torch.manual_seed(config.seed)
        for epoch in bar:
            seen.losses.append(_epoch(network, train, optimiser, schedule, (config, epoch)))
            seen.ndcgs.append(validation_ndcg(model, judges))
            bar.set_postfix(loss=f"{seen.losses[-1]:.3f}", ndcg10=f"{seen.ndcgs[-1]:.4f}")
            if seen.best == epoch:
                best = {key: value.clone() for key, value in network.state_dict().items()}
            elif epoch - seen.best >= config.patience:
                break
    if best:
        network.load_state_dict(best)
    network.eval()
    return seen


def validation_ndcg(model: SASRec, validation: HeldOut) -> float:
    """Mean NDCG@10 over the full catalogue."""
    ranked = model.recommend(validation.histories, 10)
    return float(ndcg(target_ranks(ranked.items, validation.targets), 10).mean())


def _optimiser(network: torch.nn.Module, config: Config, steps_per_epoch: int) -> tuple[Any, Any]:
    optimiser: torch.optim.Optimizer
    if config.optimizer == "muon":
        muon = MuonSettings(learning_rate=config.muon_learning_rate)
        optimiser = muon_for(network, muon, lr=config.learning_rate, weight_decay=config.weight_decay)
    else:
        matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    total = config.epochs * steps_per_epoch

    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def _epoch(network: Any, train: Histories, optimiser: Any, schedule: Any, when: tuple[Config, int]) -> float:
    config, epoch = when
    network.train()
    total, steps = 0.0, 0
    for rows in batches_by_length(train.lengths, config.batch_size, seed=config.seed, epoch=epoch):
        items = torch.from_numpy(left_aligned(train.take(rows), network.config.max_length + 1))
        loss = network.loss(items.to(network.items.weight.device))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        total, steps = total + float(loss.detach()), steps + 1
    return total / max(1, steps)
