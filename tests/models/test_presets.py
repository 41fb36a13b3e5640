"""Presets: sizes as promised, seeded, and a tokenizer that reads semantic IDs and text."""

from pathlib import Path

import numpy as np
import pytest
import torch

from agentrec.core.errors import ArtefactError
from agentrec.models.generator import read_generator, save_generator
from agentrec.models.presets import build_generator
from agentrec.semantic_ids.vocabulary import SIDVocabulary

TOKENS = [f"<{letter}_{code}>" for letter in "abc" for code in range(256)]


@pytest.mark.parametrize(("name", "low", "high"), [("qwen3-tiny", 0.8e6, 3e6), ("qwen3-small", 10e6, 30e6)])
def test_sizes_and_seeds(name: str, low: float, high: float) -> None:
    first, second, other = (build_generator(name, TOKENS, seed=seed).model for seed in (0, 0, 1))
    assert low < sum(parameter.numel() for parameter in first.parameters()) < high
    pairs = list(zip(first.parameters(), second.parameters(), strict=True))
    assert all(torch.equal(left, right) for left, right in pairs)
    assert not torch.equal(first.get_input_embeddings().weight, other.get_input_embeddings().weight)


def test_the_tokenizer_reads_ids_and_text() -> None:
    tokenizer = build_generator("qwen3-tiny", TOKENS, texts=["red tent for two", "café ☕ 007"]).tokenizer
    ids = tokenizer("<a_12><c_255>", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<a_12>", "<c_255>"]
    text = "a café with <b_3> and ☕"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_a_name_that_is_nothing_says_so() -> None:
    with pytest.raises(ArtefactError, match="neither a preset"):
        build_generator("no-such-model-anywhere", TOKENS)


def test_a_saved_tokenizer_without_words_has_no_chat_template(tmp_path: Path) -> None:
    vocabulary = SIDVocabulary(np.array([[0, 1], [1, 0]]))
    for texts in (None, ["tents and boots"]):
        made = build_generator("qwen3-tiny", vocabulary.all_tokens, texts=texts)
        folder = tmp_path / str(texts is None)
        save_generator(folder, made.model, made.tokenizer, vocabulary, config={}, provenance={})
        assert (read_generator(folder).tokenizer.chat_template is None) == (texts is None)
        assert made.tokenizer.chat_template is not None
