"""Item vectors by name, and a real (tiny, locally built) sentence-transformers model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentrec.core.errors import ConfigError, DataError, MissingExtraError, UnknownNameError
from agentrec.core.protocols import TextEncoder
from agentrec.vectors import item_vectors as room
from agentrec.vectors.item_vectors import encoder, item_vectors, load_encoder
from agentrec.vectors.sentence_transformer import Config, SentenceTransformerEncoder

TEXTS = ["red hat", "red shoe", "blue shoe", "a blue and red hat with a very long name"]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer BERT with a word tokenizer and mean pooling, saved as sentence-transformers saves it."""
    pytest.importorskip("sentence_transformers")
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    words = ["[PAD]", "[UNK]", "red", "blue", "hat", "shoe", "a", "and", "with", "passage", ":"]
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]")
    tokenizer.model_max_length = 32
    tokenizer.save_pretrained(folder / "plain")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder / "plain")
    transformer = Transformer(str(folder / "plain"))
    SentenceTransformer(modules=[transformer, Pooling(8)], device="cpu").save(str(folder / "sentences"))
    return folder / "sentences"


def reference(folder: Path, texts: list[str]) -> np.ndarray:
    """Mean of the last hidden states, by hand."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        rows = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0) for text in texts]
    return torch.stack(rows).numpy()


def test_sentence_transformer_is_the_mean_of_hidden_states(model_folder: Path) -> None:
    expected = reference(model_folder, TEXTS)
    settings = {"model": str(model_folder), "device": "cpu", "batch_size": 3}
    plain = item_vectors(TEXTS, "sentence_transformer", {**settings, "normalise": False})
    assert plain.dtype == np.float32
    np.testing.assert_allclose(plain, expected, atol=1e-5)
    unit = item_vectors(TEXTS, str(model_folder), {"device": "cpu"})
    np.testing.assert_allclose(unit, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_a_prompt_is_put_in_front(model_folder: Path) -> None:
    found = SentenceTransformerEncoder(Config(str(model_folder), prompt="passage: ", normalise=False, device="cpu"))
    expected = reference(model_folder, [f"passage: {text}" for text in TEXTS])
    np.testing.assert_allclose(found.encode(TEXTS), expected, atol=1e-5)


def test_saved_it_keeps_what_decides_the_vectors(model_folder: Path, tmp_path: Path) -> None:
    built = encoder(str(model_folder), {"device": "cpu", "prompt": "a "}, progress=True)
    built.save_pretrained(tmp_path / "saved")  # type: ignore[attr-defined]
    loaded = load_encoder(tmp_path / "saved")
    assert loaded.config == Config(str(model_folder), prompt="a ")  # type: ignore[attr-defined]
    np.testing.assert_allclose(loaded.encode(TEXTS), built.encode(TEXTS), atol=1e-6)


def test_both_methods_are_text_encoders_and_are_listed(model_folder: Path) -> None:
    assert isinstance(encoder("tfidf_svd"), TextEncoder)
    assert isinstance(encoder(str(model_folder)), TextEncoder)
    assert room.REGISTRY.names() == ["sentence_transformer", "tfidf_svd"]
    assert all(summary.endswith(".") for summary in room.REGISTRY.summaries().values())


def test_seed_progress_and_settings_reach_the_method() -> None:
    assert encoder("tfidf_svd", {"embedding_dim": 7}, seed=5, progress=True).config.__dict__ == {  # type: ignore[attr-defined]
        "embedding_dim": 7,
        "longest_phrase": 2,
        "max_features": 100_000,
        "seed": 5,
    }


def test_a_model_that_does_not_load_is_a_config_error(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    for name in (str(tmp_path), "nobody/no-such-model"):
        with pytest.raises(ConfigError, match="could not be loaded"):
            item_vectors(TEXTS, name)


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'agentrec\[text\]'"):
        SentenceTransformerEncoder()


def test_misuse_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="sentence_transformer, tfidf_svd"):
        item_vectors(TEXTS, "word2vec")
    with pytest.raises(ConfigError, match="no setting 'dims'"):
        item_vectors(TEXTS, "tfidf_svd", {"dims": 3})
    with pytest.raises(ConfigError, match="'batch_size' is 0"):
        Config(batch_size=0)
    with pytest.raises(DataError, match="no item texts"):
        item_vectors([])


def test_vectors_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def encode(self, texts: list[str]) -> np.ndarray:
            table = np.ones((len(texts), 2), np.float32)
            table[1:] = np.nan
            return table

    monkeypatch.setattr(room, "encoder", lambda *args, **kwargs: Broken())
    with pytest.raises(DataError, match=f"not finite, the first to row 1 \\('{TEXTS[1]}'\\)"):
        item_vectors(TEXTS)
