"""Residual k-means: the conformance suite, nesting of levels, and why directions are clustered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentrec.core.errors import ArtefactError, ConfigError, DataError, DataWarning
from agentrec.core.types import FloatArray
from agentrec.semantic_ids.health import levels
from agentrec.semantic_ids.rq_kmeans import Config, RQKMeans
from agentrec.testing.quantisers import QuantizerTests, clustered_vectors


class TestSpherical(QuantizerTests):
    def make(self) -> Any:
        return RQKMeans(Config(num_levels=3, codebook_size=8))


class TestFlat(QuantizerTests):
    def make(self) -> Any:
        return RQKMeans(Config(num_levels=3, codebook_size=8, normalise_residuals=False))


class TestLevelsOfTheirOwnSize(QuantizerTests):
    def make(self) -> Any:
        return RQKMeans(Config(num_levels=2, level_sizes=(16, 4), n_init=3, seed=5))

    def test_sizes(self, quantiser: Any) -> None:
        assert [len(book) for book in quantiser.codebooks] == [16, 4]


def uneven_vectors() -> FloatArray:
    """A dense crowd around each of 20 centres and a few far stragglers: residual lengths differ by a factor of 50."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 16))
    spread = np.where(rng.random(2000) < 0.9, 0.02, 1.0)[:, None]
    return (centres[rng.integers(20, size=2000)] + spread * rng.normal(size=(2000, 16))).astype(np.float32)


def test_directions_keep_later_levels_even_where_lengths_do_not() -> None:
    vectors = uneven_vectors()
    used = {}
    for normalise in (True, False):
        quantiser = RQKMeans(Config(num_levels=3, codebook_size=32, normalise_residuals=normalise)).fit(vectors)
        used[normalise] = [level["perplexity"] for level in levels(quantiser.encode(vectors), [32] * 3)]
    assert min(used[True][1:]) > 25
    assert max(used[False][1:]) < 15


@pytest.mark.parametrize("normalise", [True, False])
def test_levels_are_nested(normalise: bool) -> None:
    vectors = clustered_vectors()
    short = RQKMeans(Config(num_levels=2, codebook_size=8, normalise_residuals=normalise)).fit(vectors)
    long = RQKMeans(Config(num_levels=4, codebook_size=8, normalise_residuals=normalise)).fit(vectors)
    assert np.array_equal(long.encode(vectors)[:, :2], short.encode(vectors))


@pytest.mark.parametrize("normalise", [True, False])
def test_a_code_vector_is_the_mean_residual_of_its_items(normalise: bool) -> None:
    vectors = clustered_vectors()
    quantiser = RQKMeans(Config(num_levels=3, codebook_size=8, normalise_residuals=normalise, max_iter=2)).fit(vectors)
    codes, residuals = quantiser.encode(vectors), vectors.astype(np.float64)
    for column, book in zip(codes.T, quantiser.codebooks, strict=True):
        for code in range(len(book)):
            np.testing.assert_allclose(book[code], residuals[column == code].mean(axis=0), atol=1e-5)
        residuals = residuals - book[column]


def test_items_without_a_residual_do_not_disturb_the_others() -> None:
    crowd = clustered_vectors(60)
    far = -5 * np.eye(12, dtype=np.float32)  # each becomes a cluster of its own on level 1
    quantiser = RQKMeans(Config(num_levels=2, codebook_size=16)).fit(np.concatenate([crowd, far]))
    codes = quantiser.encode(far)
    alone = [item for item in range(12) if np.allclose(quantiser.codebooks[0][codes[item, 0]], far[item])]
    assert len(alone) >= 6
    assert len(set(codes[alone, 1])) == 1


def test_few_vectors_shrink_the_levels_with_a_warning() -> None:
    vectors = clustered_vectors(5)
    with pytest.warns(DataWarning, match=r"going on with \[5, 1\]"):
        quantiser = RQKMeans(Config(num_levels=2, codebook_size=8)).fit(vectors)
    np.testing.assert_allclose(quantiser.decode(quantiser.encode(vectors)), vectors, atol=1e-6)


def test_all_vectors_alike() -> None:
    vectors = np.ones((9, 3), np.float32)
    with pytest.warns(DataWarning, match=r"going on with \[1, 1, 1\]"):
        assert (RQKMeans().fit(vectors).encode(vectors) == 0).all()


def test_vectors_of_zeros() -> None:
    with pytest.warns(DataWarning):
        quantiser = RQKMeans().fit(np.zeros((4, 3), np.float32))
    assert np.array_equal(quantiser.decode(quantiser.encode(np.zeros((4, 3), np.float32))), np.zeros((4, 3)))


@pytest.mark.parametrize(
    "settings",
    [
        {"num_levels": 0},
        {"codebook_size": 0},
        {"max_iter": 0},
        {"n_init": 0},
        {"num_levels": 2, "level_sizes": (8,)},
        {"num_levels": 2, "level_sizes": (8, 0)},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="rq_kmeans setting"):
        Config(**settings)


def test_decode_refuses_codes_outside_their_level() -> None:
    quantiser = RQKMeans(Config(num_levels=2, codebook_size=4)).fit(clustered_vectors())
    for codes in ([[0, 4]], [[-1, 0]], [[0, 0, 0]], [0, 0], [[0.5, 1.0]]):
        with pytest.raises(DataError, match="code"):
            quantiser.decode(np.array(codes))


def test_an_unfitted_quantiser_does_not_load(tmp_path: Path) -> None:
    RQKMeans().save_pretrained(tmp_path / "saved")
    with pytest.raises(ArtefactError, match="fit it again"):
        RQKMeans.from_pretrained(tmp_path / "saved")
