"""New embedding rows: where they start, and that nothing else moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agentrec.core.errors import ArtefactError, DataError
from agentrec.semantic_ids.embeddings import code_words, start_new_rows
from agentrec.semantic_ids.vocabulary import SIDVocabulary

torch = pytest.importorskip("torch")

WORDS = ["[UNK]", "[PAD]", "red", "green", "blue", "shoe", "hat", "coat", "small", "large", "wool", "silk"]
TEXTS = ["red shoe", "red hat wool", "blue coat", "green silk coat large"]
CODES = np.array([[0, 0], [0, 1], [1, 0], [1, 2]])


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]")


def language_model(kind: str, rows: int = len(WORDS)) -> Any:
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen3Config

    sizes = {"vocab_size": rows, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = {
        "qwen3": lambda: Qwen3Config(**sizes, **heads, **special, tie_word_embeddings=True),
        "llama": lambda: LlamaConfig(**sizes, **heads, **special, tie_word_embeddings=False),
        "gpt2": lambda: GPT2Config(
            vocab_size=rows, n_embd=16, n_layer=1, n_head=2, n_positions=64, **special, tie_word_embeddings=False
        ),
    }[kind]()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    spread = torch.linspace(0.5, 2, rows)[:, None]
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        layer.weight.data = torch.randn(rows, 16) * spread + 0.3
    model.tie_weights()
    return model


def matrices(model: Any) -> list[Any]:
    return [layer.weight.detach().clone() for layer in (model.get_input_embeddings(), model.get_output_embeddings())]


@pytest.mark.parametrize("kind", ["qwen3", "llama", "gpt2"])
@pytest.mark.parametrize("texts", [None, TEXTS], ids=["drawn", "words"])
def test_old_rows_stay_and_new_rows_are_of_their_length(kind: str, texts: list[str] | None) -> None:
    words, model, vocabulary = tokenizer(), language_model(kind), SIDVocabulary(CODES)
    prompt = torch.tensor([[2, 5, 3]])
    before, logits = matrices(model), model(prompt).logits
    assert vocabulary.extend_tokenizer(words) == 5
    vocabulary.extend_model(model, words, texts)
    assert model.config.vocab_size == len(WORDS) + 5
    for old, new in zip(before, matrices(model), strict=True):
        assert torch.equal(new[: len(WORDS)], old)
        lengths, started = old.norm(dim=1), new[len(WORDS) :].norm(dim=1)
        assert started.min() >= lengths.min() - 1e-4
        assert started.max() <= lengths.max() + 1e-4
        assert len(torch.unique(new[len(WORDS) :], dim=0)) == 5
    torch.testing.assert_close(model(prompt).logits[..., : len(WORDS)], logits)
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert tied == (kind == "qwen3")
    assert tied == torch.equal(*matrices(model))


def test_rows_start_at_the_words_of_the_items_that_carry_the_code() -> None:
    words, model, vocabulary = tokenizer(), language_model("llama"), SIDVocabulary(CODES)
    vocabulary.extend_tokenizer(words)
    old = matrices(model)[0]
    vocabulary.extend_model(model, words, TEXTS)
    started = matrices(model)[0][vocabulary.token_ids(words)[0][0]]
    carried = [WORDS.index(word) for text in TEXTS[:2] for word in text.split()]
    towards = [torch.cosine_similarity(started, old[rows].mean(dim=0), dim=0) for rows in (carried, [3, 4, 7, 9, 11])]
    assert towards[0] > 0.95
    assert towards[0] > towards[1]


def test_code_words_count_every_item_of_a_code() -> None:
    words, vocabulary = tokenizer(), SIDVocabulary(CODES, level_sizes=[3, 3])
    vocabulary.extend_tokenizer(words)
    table = code_words(vocabulary, words, TEXTS).toarray()
    assert table.shape == (6, len(words))
    expected = np.zeros((6, len(words)))
    for codes, text in zip(CODES, TEXTS, strict=True):
        for row in (codes[0], 3 + codes[1]):
            for word in text.split():
                expected[row, WORDS.index(word)] += 1
    expected /= np.maximum(expected.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(table, expected, rtol=1e-6)


def test_a_seed_decides_the_rows_and_the_global_generator_is_left_alone() -> None:
    rows = {}
    for run, seed in (("first", 1), ("again", 1), ("other", 2)):
        words, model, vocabulary = tokenizer(), language_model("llama"), SIDVocabulary(CODES)
        vocabulary.extend_tokenizer(words)
        state = torch.get_rng_state()
        start_new_rows(vocabulary, model, words, seed=seed)
        rows[run] = matrices(model)
        assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(rows["first"], rows["again"], strict=True))
    assert not torch.equal(rows["first"][0], rows["other"][0])


def test_spare_rows_are_used_and_the_matrix_never_shrinks() -> None:
    words, model, vocabulary = tokenizer(), language_model("qwen3", rows=64), SIDVocabulary(CODES)
    vocabulary.extend_tokenizer(words)
    before = matrices(model)[0]
    vocabulary.extend_model(model, words)
    after = matrices(model)[0]
    assert after.shape == before.shape
    changed = (after != before).any(dim=1).nonzero().flatten().tolist()
    assert changed == list(range(len(WORDS), len(WORDS) + 5))


def test_type_is_kept_and_codes_without_items_or_words_are_drawn() -> None:
    words, vocabulary = tokenizer(), SIDVocabulary(CODES, level_sizes=[4, 4])
    model = language_model("llama").to(torch.bfloat16)
    vocabulary.extend_tokenizer(words)
    vocabulary.extend_model(model, words, ["red shoe", "", "", ""])
    for table in matrices(model):
        assert table.dtype == torch.bfloat16
        assert torch.isfinite(table).all()
        assert (table.norm(dim=1) > 0).all()


def test_misuse_is_refused() -> None:
    words, model, vocabulary = tokenizer(), language_model("qwen3"), SIDVocabulary(CODES)
    with pytest.raises(ArtefactError, match="no token '<a_0>'"):
        vocabulary.extend_model(model, words)
    vocabulary.extend_tokenizer(words)
    with pytest.raises(DataError, match="3 texts were given for 4 items"):
        vocabulary.extend_model(model, words, TEXTS[:3])
