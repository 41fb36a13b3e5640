"""Generators built from a config, without any download: small Qwen3 decoders and their tokenizer.

``qwen3-tiny`` (about 1 M parameters) and ``qwen3-small`` (about 12 M) are ordinary `Qwen3ForCausalLM` models whose
vocabulary is the semantic-ID tokens plus, when item texts are given, a byte-level BPE trained on those texts. Anything
else that names a causal language model (a hub name or a folder) is loaded by `AutoModelForCausalLM`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from agentrec.core.errors import ArtefactError

PAD_TOKEN, BOS_TOKEN, EOS_TOKEN = "<|pad|>", "<|bos|>", "<|eos|>"
TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (PAD_TOKEN, BOS_TOKEN, EOS_TOKEN, TURN_START, TURN_END)

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Preset:
    """Size of a generator built from config."""

    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int


PRESETS = {
    "qwen3-tiny": Preset(hidden_size=128, num_layers=4, num_heads=4, intermediate_size=384),
    "qwen3-small": Preset(hidden_size=384, num_layers=6, num_heads=6, intermediate_size=1152),
}


class Generator(NamedTuple):
    """A causal language model and its tokenizer."""

    model: Any
    tokenizer: Any


def build_generator(
    name: str, sid_tokens: Sequence[str], *, texts: Sequence[str] | None = None, seed: int = 0
) -> Generator:
    """A preset with fresh weights, or a pretrained model with its own tokenizer.

    Args:
        name: a key of `PRESETS`, a hub name or a folder.
        sid_tokens: the semantic-ID tokens; a preset's vocabulary holds them from the start. A pretrained model is
            returned as it is: extend it by `SIDVocabulary.extend_tokenizer` and `extend_model`.
        texts: item texts, for a preset that reads words too.
        seed: of a preset's weights.

    Raises:
        ArtefactError: the name is no preset and cannot be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if name in PRESETS:
        tokenizer = build_tokenizer(sid_tokens, texts)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = AutoModelForCausalLM.from_config(preset_config(PRESETS[name], tokenizer))
        return Generator(model, tokenizer)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ArtefactError(
            f"{name!r} is neither a preset ({', '.join(PRESETS)}) nor a causal language model that can be loaded "
            f"({str(error).splitlines()[0]}); check the name, or download the model and pass its folder"
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Generator(model, tokenizer)


def preset_config(preset: Preset, tokenizer: Any) -> Any:
    """The Qwen3 config of a preset for a tokenizer."""
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=preset.hidden_size,
        intermediate_size=preset.intermediate_size,
        num_hidden_layers=preset.num_layers,
        num_attention_heads=preset.num_heads,
        num_key_value_heads=preset.num_heads,
        head_dim=preset.hidden_size // preset.num_heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def build_tokenizer(
    sid_tokens: Sequence[str], texts: Sequence[str] | None = None, *, text_vocabulary: int = 4096
) -> Any:
    """A fast tokenizer over special tokens, semantic-ID tokens and, with texts, a byte-level BPE trained on them.

    Args:
        sid_tokens: one token per level and code.
        texts: the corpus of the BPE; without it every word is unknown and only semantic IDs can be written.
        text_vocabulary: size of the BPE at most.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = [] if texts is None else pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=text_vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts or [], trainer)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in sid_tokens])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD_TOKEN,
        bos_token=BOS_TOKEN,
        eos_token=TURN_END if texts is not None else EOS_TOKEN,
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
        model_max_length=4096,
    )
