"""LoRA adapters for a generator: on which modules, and the rows of new tokens that train beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrec.core.errors import ConfigError

ALL_LINEAR = "all-linear"
SHOWN = 12


def lora_config(rank: int, modules: str, model: Any, new_tokens: Sequence[int]) -> Any:
    """What `peft` is told: adapters of a rank on modules, and of the embeddings the rows of new tokens only.

    Args:
        rank: of the two factors; their product is scaled by 2.
        modules: ``all-linear``, or names of linear modules, separated by commas, such as ``q_proj,v_proj``.
        model: the causal language model.
        new_tokens: ids of the tokens whose embeddings are trained.

    Raises:
        ConfigError: the model has no such linear module.
    """
    from peft import LoraConfig

    tied = model.config.tie_word_embeddings
    names = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
    tables = [model.get_input_embeddings(), *([] if tied else [model.get_output_embeddings()])]
    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.05,
        target_modules=_targets(modules, model),
        trainable_token_indices={names[id(table)]: sorted(new_tokens) for table in tables},
        task_type="CAUSAL_LM",
    )


def _targets(modules: str, model: Any) -> str | list[str]:
    if modules == ALL_LINEAR:
        return modules
    asked = [name.strip() for name in modules.split(",") if name.strip()]
    known = linear_modules(model)
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        raise ConfigError(
            f"lora_modules is {modules!r}, and the model has no linear module {', '.join(unknown) or 'of no name'}; "
            f"expected {ALL_LINEAR} or some of {', '.join(known[:SHOWN])}, separated by commas"
        )
    return asked


def linear_modules(model: Any) -> list[str]:
    """Last names of the linear layers that may carry an adapter, each once, in the order of the model."""
    import torch

    head = model.get_output_embeddings()
    found = (name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear) and part is not head)
    return list(dict.fromkeys(name.rpartition(".")[2] for name in found))
