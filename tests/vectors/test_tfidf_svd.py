"""TF-IDF vectors: geometry, determinism, small catalogues."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentrec.core.errors import ArtefactError, ConfigError, DataError, DataWarning
from agentrec.core.files import read_json, write_json
from agentrec.vectors.item_vectors import load_encoder
from agentrec.vectors.tfidf_svd import Config, TfidfSvd

TEXTS = ["red wool hat", "red wool scarf", "blue silk hat", "steel hammer 1/2 inch", "steel hammer 3/4 inch", "nails"]


def encode(texts: list[str] = TEXTS, **settings: int) -> np.ndarray:
    return TfidfSvd(Config(**{"embedding_dim": 4, **settings})).fit(texts).encode(texts)


def test_vectors_are_float32_of_length_one() -> None:
    vectors = encode()
    assert vectors.shape == (6, 4)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_texts_with_common_words_are_closer() -> None:
    vectors = encode()
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[3]
    assert vectors[3] @ vectors[4] > vectors[3] @ vectors[2]


def test_all_dimensions_keep_the_cosines_of_tf_idf() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    table = TfidfVectorizer(token_pattern=r"\w+", ngram_range=(1, 2), sublinear_tf=True).fit_transform(TEXTS)
    vectors = encode(embedding_dim=6)
    np.testing.assert_allclose(vectors @ vectors.T, (table @ table.T).toarray(), atol=1e-5)


def test_single_characters_tell_items_apart() -> None:
    vectors = encode(["bolt 1/2 inch", "bolt 3/4 inch", "bolt type c"], embedding_dim=3)
    assert (vectors @ vectors.T)[~np.eye(3, dtype=bool)].max() < 0.99


def test_a_seed_decides_the_vectors_and_new_texts_are_placed_alike() -> None:
    assert np.array_equal(encode(seed=3), encode(seed=3))
    encoder = TfidfSvd(Config(embedding_dim=4)).fit(TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS[2:3]), encoder.encode(TEXTS)[2:3], atol=1e-6)
    assert np.array_equal(encoder.encode(["zebra"]), np.zeros((1, 4)))


@pytest.mark.parametrize(("texts", "dimension"), [(TEXTS, 6), (["one item"], 1), (["word", "word", "word"], 1)])
def test_the_dimension_is_clamped_with_a_warning(texts: list[str], dimension: int) -> None:
    with pytest.warns(DataWarning, match=f"going on with {dimension}"):
        vectors = encode(texts, embedding_dim=64)
    assert vectors.shape == (len(texts), dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_frequent_words_are_kept_first() -> None:
    encoder = TfidfSvd(Config(embedding_dim=2, longest_phrase=1, max_features=2)).fit(["a b c", "a b", "d a b"])
    assert np.abs(encoder.encode(["a"])).sum() > 0
    assert np.abs(encoder.encode(["c d"])).sum() == 0


def test_misuse_is_refused() -> None:
    with pytest.raises(DataError, match="2 item texts hold no word"):
        encode(["", " ... "])
    with pytest.raises(DataError, match="call fit"):
        TfidfSvd().encode(TEXTS)
    for name in ("embedding_dim", "longest_phrase", "max_features"):
        with pytest.raises(ConfigError, match=f"'{name}' is 0"):
            Config(**{name: 0})


def test_saved_and_loaded_it_gives_new_texts_the_same_vectors(tmp_path: Path) -> None:
    encoder = TfidfSvd(Config(embedding_dim=4, longest_phrase=2)).fit(TEXTS)
    encoder.save_pretrained(tmp_path / "saved")
    loaded = load_encoder(tmp_path / "saved")
    texts = [*TEXTS, "red silk hammer 1/2", "zebra", ""]
    assert np.array_equal(loaded.encode(texts), encoder.encode(texts))
    assert loaded.config == encoder.config
    manifest = read_json(tmp_path / "saved" / "agentrec.json")
    manifest["config"]["words"].pop()
    write_json(tmp_path / "saved" / "agentrec.json", manifest)
    with pytest.raises(ArtefactError, match="expected one number"):
        load_encoder(tmp_path / "saved")


def test_an_encoder_that_learnt_nothing_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="before saving"):
        TfidfSvd().save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
