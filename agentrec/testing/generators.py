"""Tiny random generators: real Hugging Face models and tokenizers, built from config, that test wiring in milliseconds.

They know nothing; what they show is that code paths hold, never that a method works.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from agentrec.core.types import IntArray
from agentrec.models.presets import Generator, build_tokenizer
from agentrec.semantic_ids.vocabulary import SIDVocabulary

Family = Literal["qwen3", "llama", "gpt2"]


def random_codes(num_items: int, level_sizes: tuple[int, ...], seed: int = 0) -> IntArray:
    """Distinct random codes: (N, L) int64 with N at most ``num_items``."""
    rng = np.random.default_rng(seed)
    drawn = np.stack([rng.integers(0, size, num_items) for size in level_sizes], axis=1)
    return np.unique(drawn, axis=0).astype(np.int64)


def tiny_generator(vocabulary: SIDVocabulary, *, family: Family = "qwen3", seed: int = 0) -> Generator:
    """A two-layer random model of a family, with a tokenizer that knows the vocabulary and a little text."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = build_tokenizer(vocabulary.all_tokens, ["a tiny corpus of words", "tents, boots and coffee"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(_config(family, tokenizer))
    return Generator(model.eval(), tokenizer)


def _config(family: Family, tokenizer: Any) -> Any:
    from transformers import GPT2Config, LlamaConfig, Qwen3Config

    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    if family == "gpt2":
        return GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=512, **ids)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    if family == "llama":
        return LlamaConfig(vocab_size=len(tokenizer), **shape, tie_word_embeddings=False, **ids)
    return Qwen3Config(
        vocab_size=len(tokenizer), **shape, num_key_value_heads=1, head_dim=16, tie_word_embeddings=True, **ids
    )
