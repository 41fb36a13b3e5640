"""Prompts that a model has read: their keys and values, to be searched as often as one likes.

The same user under another constraint, with other widths or another rule, costs no second reading: `Prompt.fork` gives
every search a cache of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from agentrec.core.errors import ConfigError
from agentrec.decoding.search.cache import with_room

ATTENTION = ("sdpa", "eager")


@dataclass(frozen=True)
class Prompt:
    """B prompts in the state after their last token.

    Attributes:
        model: that read them.
        cache: keys and values of T positions; never written to.
        logits: (B, 1, V) after the last token.
        mask: (B, T) bool, False for padding.
        lengths: (B,) int64, tokens per prompt.
    """

    model: Any
    cache: Any
    logits: torch.Tensor
    mask: torch.Tensor
    lengths: torch.Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    def fork(self, room: int) -> Any:
        """A cache that begins like this one and has room for so many more positions."""
        return with_room(self.cache, room)


@torch.inference_mode()
def read_prompts(model: Any, prompts: torch.Tensor, mask: torch.Tensor) -> Prompt:
    """Let a model read prompts.

    Args:
        model: a Hugging Face causal language model in eval mode.
        prompts: (B, T) int64 token ids, padded on either side.
        mask: (B, T) 1 for tokens, 0 for padding; at least one token per row.

    Raises:
        ConfigError: the model's attention cannot follow a tree, or its cache cannot be shared.
    """
    from transformers import DynamicCache

    used = getattr(model.config, "_attn_implementation", "sdpa")
    if used not in ATTENTION:
        raise ConfigError(
            f"the model's attention is {used!r}; expected {' or '.join(ATTENTION)}, which take a mask per beam, so "
            'load it with attn_implementation="sdpa"'
        )
    positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
    cache = DynamicCache(config=model.config)
    if any(getattr(layer, "is_sliding", False) for layer in cache.layers):
        raise ConfigError("the model attends to a sliding window; expected full attention, which a tree of beams needs")
    ask = {"input_ids": prompts, "attention_mask": mask, "position_ids": positions, "past_key_values": cache}
    last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)
    if bool((last == mask.shape[1] - 1).all()):  # left padding: the head is needed for one position only
        logits = model(**ask, logits_to_keep=1).logits
    else:
        logits = model(**ask).logits
        logits = logits.gather(1, last[:, None, None].expand(-1, 1, logits.shape[-1]))
    return Prompt(model, cache, logits, mask.bool(), mask.sum(dim=1))
