"""Train a collaborative-filtering model: closed form where it has one, early-stopped gradient descent where not.

A model with a classmethod ``fit`` (popularity, transitions) is counted in one pass. A model with a ``network`` that has
a ``loss`` (SASRec) is trained by AdamW with warm-up and cosine decay on length-bucketed batches; NDCG@10 on validation
users, over the full catalogue, decides when to stop and which epoch is kept. Test rows are never asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from agentrec.core.artefact import Artefact, plain
from agentrec.core.config import from_mapping, setting
from agentrec.core.provenance import versions
from agentrec.core.registry import Registry
from agentrec.core.types import HeldOut, Histories
from agentrec.data.split import Split
from agentrec.metrics.ranking import ndcg, target_ranks
from agentrec.models.sasrec import SASRec, left_aligned
from agentrec.training.batches import batches_by_length


@dataclass(frozen=True)
class Config:
    """Settings of gradient training."""

    epochs: int = setting(30, "at most this many passes")
    patience: int = setting(3, "stop after this many validations without a better NDCG@10")
    batch_size: int = setting(64, "users per step")
    learning_rate: float = setting(2e-3, "peak of the schedule")
    weight_decay: float = setting(0.1, "AdamW's, on matrices only")
    warmup_steps: int = setting(100, "steps of linear warm-up")
    validation_users: int = setting(3000, "users sampled for early stopping")
    seed: int = setting(0, "of weights, batches and dropout")


@dataclass
class Progress:
    """What training saw, epoch by epoch."""

    losses: list[float] = field(default_factory=list)
    ndcgs: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Epoch (0-based) with the best validation NDCG@10."""
        return int(np.argmax(self.ndcgs))


def train_cf(
    name: str,
    split: Split,
    *,
    model: Mapping[str, Any] | None = None,
    config: Config | None = None,
    progress: bool = False,
) -> Artefact:
    """Train one model of `agentrec.models` on a split's training histories.

    Args:
        name: method name, for example ``"sasrec"``.
        split: hands out train; its validation users decide early stopping.
        model: settings of the model itself.
        config: settings of training.
        progress: show a bar.

    Raises:
        UnknownNameError: no such model.
    """
    module = Registry("agentrec.models").module(name)
    config = config or Config()
    settings = [from_mapping(module.Config, model or {})] if hasattr(module, "Config") else []
    if hasattr(module.METHOD, "fit"):
        trained = module.METHOD.fit(split.train, split.num_items, *settings)
    else:
        trained = module.METHOD.build(split.num_items, *settings, seed=config.seed)
        descend(trained, split.train, split.reveal("validation"), config, progress=progress)
    made_from = {"split": split.fingerprint, "seed": config.seed, "training": plain(config), "versions": versions()}
    return trained.stamp(made_from)  # type: ignore[no-any-return]


def descend(
    model: SASRec, train: Histories, validation: HeldOut, config: Config, *, progress: bool = False
) -> Progress:
    """Train a model's network in place and leave it at its best validated epoch."""
    train = train.take(np.flatnonzero(train.lengths >= 2))
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
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    total = config.epochs * steps_per_epoch

    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / config.warmup_steps)
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
