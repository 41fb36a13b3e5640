"""Train a collaborative-filtering model: counted in one pass where it can be, by gradient descent where not.

A model with a classmethod ``fit`` (popularity, transitions) is counted. A model with a ``network`` that has a ``loss``
(SASRec) is trained by `agentrec.training.descent`, early-stopped on validation users. Test rows are never asked for.
Counting needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrec.core.artefact import Artefact, known_by
from agentrec.core.config import from_mapping, setting
from agentrec.core.errors import ConfigError, require
from agentrec.core.provenance import versions
from agentrec.core.registry import Registry
from agentrec.data.split import Split

VALIDATED = "validation_ndcg@10"  # in the provenance: one number per epoch
FIRST = (
    "epochs",
    "patience",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "warmup_steps",
    "validation_users",
    "seed",
)


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
    optimizer: str = setting("adamw", "adamw, or muon: Muon on hidden matrices, AdamW on the rest")
    muon_learning_rate: float = setting(0.02, "of the matrices; learning_rate is AdamW's")

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "muon"):
            raise ConfigError(f"optimizer is {self.optimizer!r}; expected adamw or muon")
        for name in ("epochs", "patience", "batch_size", "validation_users"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")

    def chosen(self) -> dict[str, Any]:
        """The settings as a key of what was trained; see `agentrec.core.artefact.known_by`."""
        return known_by(self, FIRST)


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
        ConfigError: a setting is unknown, or the model has none.
        DataError: there is nothing to learn from.
    """
    module = Registry("agentrec.models").module(name)
    config = config or Config()
    settings = model_settings(name, model)
    rounds: dict[str, Any] = {}
    if hasattr(module.METHOD, "fit"):
        trained = module.METHOD.fit(split.train, split.num_items, *settings)
    else:
        require("torch", "train")
        from agentrec.training.descent import descend

        trained = module.METHOD.build(split.num_items, *settings, seed=config.seed)
        seen = descend(trained, split.train, split.reveal("validation"), config, progress=progress)
        rounds = {VALIDATED: seen.ndcgs}
    made_from = {"split": split.fingerprint, "seed": config.seed, "training": config.chosen(), "versions": versions()}
    return trained.stamp({**made_from, **rounds})  # type: ignore[no-any-return]


def model_settings(name: str, values: Mapping[str, Any] | None) -> list[Any]:
    """The filled Config of a model, in a list that is empty for a model without settings.

    Raises:
        ConfigError: a setting is unknown, or the model has none.
    """
    module = Registry("agentrec.models").module(name)
    if values and not hasattr(module, "Config"):
        raise ConfigError(f"model {name!r} has no settings, and {', '.join(values)} was given; remove it")
    return [from_mapping(module.Config, values or {})] if hasattr(module, "Config") else []
