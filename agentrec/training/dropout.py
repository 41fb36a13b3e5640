"""Residual dropout for decoders that have none, by forward hooks.

Qwen3 and Llama were built for web-scale text and drop nothing outside attention. A generator trained from scratch on a
few thousand histories overfits without it. The hooks drop the token embeddings and what every attention and
feed-forward block adds to the residual stream, in training mode only; weights and saved files stay those of the plain
model.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from agentrec.core.errors import ConfigError

BRANCH_OUTPUTS = ("o_proj", "down_proj")  # last linear layer of attention and feed-forward in Llama-like decoders


def add_residual_dropout(model: nn.Module, probability: float) -> list[Any]:
    """Hook dropout into a decoder.

    Args:
        model: a Llama-like causal language model.
        probability: of dropping one feature; 0 adds nothing.

    Returns:
        The hook handles; ``handle.remove()`` undoes them.

    Raises:
        ConfigError: the model has no block of a known name.
    """
    if probability == 0:
        return []
    branches = [module for name, module in model.named_modules() if name.rpartition(".")[2] in BRANCH_OUTPUTS]
    if not branches:
        raise ConfigError(
            f"{type(model).__name__} has no layers named {' or '.join(BRANCH_OUTPUTS)}; set dropout to 0 and use the "
            "dropout settings of its own config"
        )

    def drop(module: nn.Module, _: Any, output: Any) -> Any:
        return nn.functional.dropout(output, probability, training=module.training)

    return [module.register_forward_hook(drop) for module in [model.get_input_embeddings(), *branches]]  # type: ignore[operator]
