"""What supervised fine-tuning is told: our own settings, and defaults for those of `trl.SFTConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal

import torch
from trl import SFTConfig

from agentrec.core.artefact import known_by
from agentrec.core.config import setting
from agentrec.core.errors import ConfigError
from agentrec.models.presets import PRESETS

SCRATCH = {
    "learning_rate": 2e-3,
    "weight_decay": 0.1,
    "adam_beta2": 0.98,
    "per_device_train_batch_size": 32,
    "num_train_epochs": 12.0,
}
PRETRAINED = {"learning_rate": 1e-4, "weight_decay": 0.01, "per_device_train_batch_size": 16, "num_train_epochs": 3.0}
COMMON = {
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.05,  # a share of all steps
    "logging_steps": 20,
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "report_to": "none",
    "bf16": False,
    "use_cpu": not torch.accelerator.is_available(),
    "dataloader_pin_memory": torch.cuda.is_available(),
    "gradient_checkpointing": False,
    "max_length": None,
}


SHAPING = (
    "learning_rate",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "optim",
    "lr_scheduler_type",
    "warmup_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "max_steps",
    "label_smoothing_factor",
    "bf16",
    "seed",
)

FIRST = ("model", "form", "max_items", "targets_per_user", "dropout", "lora_rank", "num_beams")


@dataclass(frozen=True)
class Config:
    """What is trained; how it is optimised stands in `trl.SFTConfig`."""

    model: str = setting("qwen3-tiny", "preset (qwen3-tiny, qwen3-small), hub name or folder")
    form: str = setting("sequence", "sequence (loss on every item) or instruction (chat with titles)")
    max_items: int = setting(50, "latest items of a history that the model reads")
    targets_per_user: int = setting(5, "instruction form: training rows per user")
    dropout: float = setting(0.3, "residual dropout of a preset; pretrained models keep their own")
    lora_rank: int = setting(0, "rank of LoRA adapters on all linear layers; 0 trains all weights")
    lora_modules: str = setting("all-linear", "modules with adapters: all-linear, or names such as q_proj,v_proj")
    num_beams: int = setting(20, "beam width the trained recommender starts with")
    optimizer: str = setting("adamw", "adamw, or muon: Muon on hidden matrices, AdamW on the rest")
    muon_learning_rate: float = setting(0.02, "of the matrices; --learning_rate is AdamW's")
    validation_users: int = setting(0, "stop early by NDCG@10 of so many validation users; 0 trains to the end")
    validate_every: float = setting(1.0, "epochs between validations")
    patience: int = setting(3, "validations without a better one before training stops")
    tasks: str = setting("", "instruction form: tasks and their weights, as next_item=1,title_to_sid=0.3")
    too_long: Literal["refuse", "drop"] = setting("refuse", "rows that do not fit the context: refuse or drop")
    sample_weights: str = setting("", "tasks: table of user_id, weight and perhaps item_id: rows that count more")

    def __post_init__(self) -> None:
        if self.form not in ("sequence", "instruction"):
            raise ConfigError(f"form is {self.form!r}; expected sequence or instruction")
        least_of = {"max_items": 1, "targets_per_user": 1, "num_beams": 1, "lora_rank": 0, "validation_users": 0}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected {least} or more")
        if self.optimizer not in ("adamw", "muon"):
            raise ConfigError(f"optimizer is {self.optimizer!r}; expected adamw or muon")
        self._check_tasks()
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}; expected 0 or more and less than 1")

    def _check_tasks(self) -> None:
        if self.tasks and self.form != "instruction":
            raise ConfigError(f"tasks is {self.tasks!r} and form {self.form!r}; tasks need form=instruction, so set it")
        if self.sample_weights and not self.tasks:
            raise ConfigError("sample_weights needs tasks, and none are given; set tasks=next_item=1 at least")
        if self.too_long not in ("refuse", "drop"):
            raise ConfigError(f"too_long is {self.too_long!r}; expected refuse or drop")

    def chosen(self) -> dict[str, Any]:
        """The settings as a key of what was trained; see `agentrec.core.artefact.known_by`."""
        return known_by(self, FIRST)


def training_arguments(config: Config, overrides: Mapping[str, Any], *, progress: bool) -> SFTConfig:
    """The defaults of this file for a preset or a pretrained model, under the user's settings.

    Raises:
        ConfigError: `trl.SFTConfig` does not know a setting.
    """
    check_training(config, overrides)
    values = {**defaults(config), "disable_tqdm": not progress, **overrides}
    try:
        return SFTConfig(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"trl.SFTConfig refuses a training setting: {' '.join(str(error).split())}") from error


def check_training(config: Config, overrides: Mapping[str, Any]) -> None:
    """Refuse training settings that nobody knows, and those of `Config`, without making any.

    Raises:
        ConfigError: there is one.
    """
    known, ours = ({field.name for field in fields(of)} for of in (SFTConfig, config))
    unknown = next((name for name in overrides if name not in known), None)
    if unknown in ours:
        raise ConfigError(f"{unknown!r} is no training setting of trl.SFTConfig but one of sft.Config; give it there")
    if unknown is not None:
        near = ", ".join(get_close_matches(unknown, known)) or "those of transformers.TrainingArguments"
        raise ConfigError(f"trl.SFTConfig has no training setting {unknown!r}; expected one of its own, such as {near}")


def defaults(config: Config) -> dict[str, Any]:
    """Training settings that suit the kind of model."""
    return {**COMMON, **(SCRATCH if config.model in PRESETS else PRETRAINED)}


def chosen(args: SFTConfig) -> dict[str, Any]:
    """The training settings that shape the result, for provenance and for telling checkpoints apart."""
    return {name: str(getattr(args, name)) for name in SHAPING}
