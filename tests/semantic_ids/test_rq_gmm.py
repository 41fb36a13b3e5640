"""RQ-GMM: the conformance suite, planted mixtures against k-means, soft codes, odd vectors."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentrec.core.errors import ArtefactError, ConfigError, DataError, DataWarning
from agentrec.core.types import FloatArray, IntArray
from agentrec.semantic_ids import mixture_level
from agentrec.semantic_ids.health import levels, relative_error
from agentrec.semantic_ids.rq_gmm import RQGMM, Config
from agentrec.semantic_ids.rq_kmeans import Config as KMeansConfig
from agentrec.semantic_ids.rq_kmeans import RQKMeans
from agentrec.testing.quantisers import QuantizerTests, clustered_vectors

PAPER: dict[str, Any] = {"normalise_residuals": False, "variance_prior": 0.0, "sharpness": 1.0}


class TestDefault(QuantizerTests):
    def make(self) -> Any:
        return RQGMM(Config(num_levels=3, codebook_size=8))


class TestFewDirections(QuantizerTests):
    def make(self) -> Any:
        return RQGMM(Config(num_levels=4, codebook_size=8, pca_dimension=4))


class TestAsInThePaper(QuantizerTests):
    def make(self) -> Any:
        return RQGMM(Config(num_levels=3, codebook_size=8, pca_dimension=0, **PAPER))


class TestLevelsOfTheirOwnSize(QuantizerTests):
    def make(self) -> Any:
        return RQGMM(Config(num_levels=2, level_sizes=(16, 4), n_init=3, seed=5))

    def test_sizes(self, quantiser: Any) -> None:
        assert [len(book) for book in quantiser.codebooks] == [16, 4]


class TestFittedToASample(QuantizerTests):
    coarse_to_fine = False  # promised for the vectors that it learns from, here 160 of 240

    def make(self) -> Any:
        return RQGMM(Config(num_levels=3, codebook_size=8, points_per_code=20))


class TestDoublePrecision(QuantizerTests):
    def make(self) -> Any:
        return RQGMM(Config(num_levels=3, codebook_size=8, variance_floor=1e-8, variance_prior=0.0))


def planted(seed: int, *, anisotropic: bool, count: int = 8, dimension: int = 6) -> tuple[FloatArray, IntArray]:
    """1,600 vectors of a mixture, and their components: widths 0.1 to 3 in each dimension, or 0.6 in all."""
    rng = np.random.default_rng(seed)
    centres = 2.5 * rng.normal(size=(count, dimension))
    widths = np.exp(rng.uniform(np.log(0.1), np.log(3), centres.shape)) if anisotropic else np.full(centres.shape, 0.6)
    group = rng.integers(count, size=1600)
    return (centres[group] + widths[group] * rng.normal(size=(1600, dimension))).astype(np.float32), group


def purity(quantiser: Any, vectors: FloatArray, group: IntArray) -> float:
    """Adjusted Rand index of the first codes."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(group, quantiser.fit(vectors).encode(vectors)[:, 0]))


def purities(vectors: FloatArray, group: IntArray) -> tuple[float, float]:
    """RQ-GMM and the better of the two RQ-KMeans, each with five starts."""
    size = int(group.max()) + 1
    ours = RQGMM(Config(num_levels=1, codebook_size=size, n_init=5, points_per_code=256))
    theirs = (
        RQKMeans(KMeansConfig(num_levels=1, codebook_size=size, n_init=5, normalise_residuals=normalise))
        for normalise in (True, False)
    )
    return purity(ours, vectors, group), max(purity(other, vectors, group) for other in theirs)


def test_unequal_anisotropic_groups_are_told_apart_where_k_means_fails() -> None:
    found = np.array([purities(*planted(seed, anisotropic=True)) for seed in range(6)])
    assert found[:, 0].min() > 0.9
    assert (found[:, 0] > found[:, 1]).all()
    assert (found[:, 0] - found[:, 1]).mean() > 0.1


def test_equal_isotropic_groups_are_a_tie() -> None:
    found = np.array([purities(*planted(seed, anisotropic=False)) for seed in range(6)])
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=0.02)
    assert found[:, 0].min() > 0.9


def test_sharper_posteriors_keep_codes_even_where_groups_outnumber_codes() -> None:
    rng = np.random.default_rng(0)
    centres, widths = rng.normal(size=(600, 24)), rng.uniform(0.2, 0.8, (600, 1))
    group = rng.choice(600, 3000, p=rng.dirichlet(np.ones(600)))
    vectors = (centres[group] + widths[group] * rng.normal(size=(3000, 24))).astype(np.float32)
    perplexity, error = {}, {}
    for name, more in {"paper": PAPER, "sharp": {**PAPER, "sharpness": 4.0, "variance_prior": 1.0}}.items():
        quantiser = RQGMM(Config(num_levels=1, codebook_size=32, points_per_code=100, **more)).fit(vectors)
        codes = quantiser.encode(vectors)
        perplexity[name] = levels(codes, [len(book) for book in quantiser.codebooks])[0]["perplexity"]
        error[name] = relative_error(vectors, quantiser.decode(codes))
    assert perplexity["sharp"] > 1.2 * perplexity["paper"]
    assert error["sharp"] < error["paper"]


@pytest.mark.parametrize("more", [{}, PAPER, {"pca_dimension": 5}, {"points_per_code": 8}])
def test_levels_are_nested(more: dict[str, Any]) -> None:
    vectors = clustered_vectors()
    short = RQGMM(Config(num_levels=2, codebook_size=8, **more)).fit(vectors)
    long = RQGMM(Config(num_levels=4, codebook_size=8, **more)).fit(vectors)
    assert np.array_equal(long.encode(vectors)[:, :2], short.encode(vectors))


@pytest.mark.parametrize("more", [{}, PAPER, {"pca_dimension": 5}])
def test_a_code_vector_is_the_mean_residual_of_its_items(more: dict[str, Any]) -> None:
    vectors = clustered_vectors()
    quantiser = RQGMM(Config(num_levels=3, codebook_size=8, **more)).fit(vectors)
    codes, residuals = quantiser.encode(vectors), vectors.astype(np.float64)
    for column, book in zip(codes.T, quantiser.codebooks, strict=True):
        for code in range(len(book)):
            np.testing.assert_allclose(book[code], residuals[column == code].mean(axis=0), atol=1e-5)
        residuals = residuals - book[column]


def test_the_likeliest_component_need_not_be_the_nearest() -> None:
    rng = np.random.default_rng(0)
    dense, wide = 0.05 * rng.normal(size=(300, 2)), [3, 0] + 2 * rng.normal(size=(300, 2))
    quantiser = RQGMM(Config(num_levels=1, codebook_size=2, n_init=3, points_per_code=600, variance_prior=0.0))
    quantiser.fit(np.concatenate([dense, wide]).astype(np.float32))
    inside, beside = quantiser.encode(np.array([[0.02, 0.02], [0.5, 0.5]], np.float32))[:, 0]
    distances = np.linalg.norm(quantiser.codebooks[0] - [0.5, 0.5], axis=1)
    assert inside != beside
    assert distances.argmin() == inside


def test_soft_codes_are_the_posteriors_of_what_earlier_levels_left() -> None:
    vectors = clustered_vectors()
    quantiser = RQGMM(Config(num_levels=2, codebook_size=8, **PAPER)).fit(vectors)
    codes = quantiser.encode(vectors)
    for level in (0, 1):
        found = quantiser.soft_codes(vectors, level, top=100)
        assert found.codes.shape == found.shares.shape == (240, 8)
        assert found.codes.dtype == np.int64
        assert found.shares.dtype == np.float32
        assert np.array_equal(found.codes[:, 0], codes[:, level])
        np.testing.assert_allclose(found.shares.sum(axis=1), 1, atol=1e-5)
        assert (np.diff(found.shares, axis=1) <= 0).all()
        few = quantiser.soft_codes(vectors, level, top=3)
        assert np.array_equal(few.codes, found.codes[:, :3])
        assert np.array_equal(few.shares, found.shares[:, :3])
    second: Any = quantiser._levels[1]
    mixture = second.mixture
    left = vectors - quantiser.decode(codes[:, :1]) - second.view.centre
    slow = mixture.log_weights.numpy() - 0.5 * (
        np.log(mixture.variances.numpy()) + (left[:, None] - mixture.means.numpy()) ** 2 / mixture.variances.numpy()
    ).sum(axis=2)
    posterior = np.exp(slow - slow.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    sparse = quantiser.soft_codes(vectors, 1, top=8)
    np.testing.assert_allclose(sparse.shares, np.take_along_axis(posterior, sparse.codes, axis=1), atol=1e-4)


def test_codebooks_fitted_together_lower_the_error_of_the_same_codes() -> None:
    vectors = clustered_vectors(1500, 12, 40)
    together = RQGMM(Config(num_levels=3, codebook_size=8)).fit(vectors)
    nested = RQGMM(Config(num_levels=3, codebook_size=8, joint=False)).fit(vectors)
    codes = nested.encode(vectors)
    assert np.array_equal(together.encode(vectors), codes)
    assert np.array_equal(together.decode(codes[:, :2]), nested.decode(codes[:, :2]))
    assert relative_error(vectors, together.decode(codes)) < relative_error(vectors, nested.decode(codes)) - 0.001


def test_soft_codes_of_no_level_are_refused() -> None:
    quantiser = RQGMM(Config(num_levels=2, codebook_size=4)).fit(clustered_vectors())
    for level, top in ((2, 1), (-1, 1), (0, 0)):
        with pytest.raises(DataError, match="level from 0 to 1"):
            quantiser.soft_codes(clustered_vectors(), level, top=top)


def test_posteriors_in_full_dimension_are_hard_and_fewer_directions_soften_them() -> None:
    vectors = clustered_vectors(600, 256, 200)
    top = {}
    for dimension in (0, 8):
        quantiser = RQGMM(Config(num_levels=1, codebook_size=16, pca_dimension=dimension)).fit(vectors)
        assert quantiser.codebooks[0].shape == (16, 256)
        top[dimension] = float(quantiser.soft_codes(vectors, 0, top=1).shares.mean())
    assert top[0] > 0.99
    assert top[8] < top[0] - 0.02


def test_the_number_of_threads_does_not_matter() -> None:
    vectors, before = clustered_vectors(2000, 24), torch.get_num_threads()
    books = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            books.append(RQGMM(Config(num_levels=2, codebook_size=32)).fit(vectors).codebooks)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(first, second) for first, second in zip(*books, strict=True))


def test_torchs_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    RQGMM(Config(num_levels=2, codebook_size=8)).fit(clustered_vectors())
    assert torch.equal(before, torch.get_rng_state())


def test_small_batches_give_the_same_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered_vectors()
    quantiser = RQGMM(Config(num_levels=3, codebook_size=8)).fit(vectors)
    whole = quantiser.encode(vectors)
    monkeypatch.setattr(mixture_level, "ROWS", 7)
    assert np.array_equal(quantiser.encode(vectors), whole)
    assert np.array_equal(RQGMM(Config(num_levels=3, codebook_size=8)).fit(vectors).encode(vectors), whole)


def test_constant_columns_change_nothing() -> None:
    vectors = clustered_vectors()
    wider = np.concatenate([vectors, np.full((240, 2), 0.25, np.float32)], axis=1)
    config = Config(num_levels=1, codebook_size=8)
    plain, padded = RQGMM(config).fit(vectors), RQGMM(config).fit(wider)
    same = RQGMM(Config(num_levels=1, codebook_size=8, pca_dimension=12)).fit(wider)
    for quantiser in (padded, same):
        rebuilt = quantiser.decode(quantiser.encode(wider))
        np.testing.assert_allclose(rebuilt[:, 12:], 0.25, atol=1e-6)
        assert relative_error(wider, rebuilt) < 1.1 * relative_error(vectors, plain.decode(plain.encode(vectors)))


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_of_vectors_does_not_matter(scale: float) -> None:
    vectors = clustered_vectors()
    config = Config(num_levels=2, codebook_size=8)
    scaled = (vectors * np.float32(scale)).astype(np.float32)
    error = [
        relative_error(table, q.decode(q.encode(table)))
        for table in (vectors, scaled)
        if (q := RQGMM(config).fit(table))
    ]
    assert error[1] == pytest.approx(error[0], rel=0.1)


def test_an_offset_far_from_the_origin_does_not_matter() -> None:
    vectors = clustered_vectors()
    moved = vectors + np.float32(100)
    quantiser = RQGMM(Config(num_levels=3, codebook_size=8)).fit(moved)
    here = RQGMM(Config(num_levels=3, codebook_size=8)).fit(vectors)
    error = relative_error(moved, quantiser.decode(quantiser.encode(moved)))
    assert error == pytest.approx(relative_error(vectors, here.decode(here.encode(vectors))), rel=0.1)


def test_vectors_far_from_those_of_fit_get_the_component_on_their_side() -> None:
    vectors = np.concatenate([clustered_vectors() + 5, clustered_vectors() - 5])
    quantiser = RQGMM(Config(num_levels=1, codebook_size=2)).fit(vectors)
    near = quantiser.encode(np.array([[5.0] * 12, [-5.0] * 12], np.float32))
    assert near[0] != near[1]
    far = np.array([[1e15] * 12, [-1e15] * 12], np.float32)
    assert (quantiser.encode(far) >= 0).all()
    assert np.isfinite(quantiser.soft_codes(far, 0).shares).all()


def test_few_vectors_shrink_the_levels_with_a_warning() -> None:
    vectors = clustered_vectors(5)
    with pytest.warns(DataWarning, match=r"going on with \[5, 1\]"):
        quantiser = RQGMM(Config(num_levels=2, codebook_size=8)).fit(vectors)
    np.testing.assert_allclose(quantiser.decode(quantiser.encode(vectors)), vectors, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_vectors_alike(value: float) -> None:
    vectors = np.full((9, 3), value, np.float32)
    with pytest.warns(DataWarning, match=r"going on with \[1, 1, 1\]"):
        quantiser = RQGMM().fit(vectors)
    assert (quantiser.encode(vectors) == 0).all()
    np.testing.assert_allclose(quantiser.decode(quantiser.encode(vectors)), vectors)


def test_fewer_distinct_rows_than_codes() -> None:
    vectors = np.repeat(clustered_vectors(6), 30, axis=0)
    with pytest.warns(DataWarning, match=r"level sizes \[16, 16\]; going on with \[6, 1\]"):
        quantiser = RQGMM(Config(num_levels=2, codebook_size=16)).fit(vectors)
    np.testing.assert_allclose(quantiser.decode(quantiser.encode(vectors)), vectors, atol=1e-6)


def test_rows_that_differ_only_outside_the_view_are_no_trouble() -> None:
    rng = np.random.default_rng(0)
    wide = np.repeat(rng.normal(size=(4, 2)), 50, axis=0)
    vectors = np.concatenate([10 * wide, 1e-3 * rng.normal(size=(200, 4))], axis=1).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        quantiser = RQGMM(Config(num_levels=2, codebook_size=8, pca_dimension=2)).fit(vectors)
    assert relative_error(vectors, quantiser.decode(quantiser.encode(vectors))) < 1e-6


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_levels": 0},
        {"codebook_size": 0},
        {"max_iter": 0},
        {"n_init": 0},
        {"points_per_code": 0},
        {"pca_dimension": -1},
        {"variance_prior": -0.1},
        {"sharpness": 0.5},
        {"tolerance": float("nan")},
        {"variance_floor": 0.0},
        {"variance_floor": 2.0},
        {"num_levels": 2, "level_sizes": (8,)},
        {"num_levels": 2, "level_sizes": (8, 0)},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="rq_gmm setting"):
        Config(**wrong)


def test_an_unfitted_quantiser_does_not_load(tmp_path: Path) -> None:
    RQGMM().save_pretrained(tmp_path / "saved")
    with pytest.raises(ArtefactError, match="fit it again"):
        RQGMM.from_pretrained(tmp_path / "saved")


def test_a_loaded_quantiser_has_the_same_soft_codes(tmp_path: Path) -> None:
    vectors = clustered_vectors()
    quantiser = RQGMM(Config(num_levels=2, codebook_size=8, pca_dimension=6)).fit(vectors)
    quantiser.save_pretrained(tmp_path / "saved")
    loaded = RQGMM.from_pretrained(tmp_path / "saved")
    for first, second in zip(quantiser.soft_codes(vectors, 1), loaded.soft_codes(vectors, 1), strict=True):
        assert np.array_equal(np.asarray(first), np.asarray(second))


@pytest.mark.gpu
def test_a_cuda_device_finds_codes_as_good() -> None:
    vectors = clustered_vectors(2000, 24)
    error = {}
    for device in ("cpu", "cuda"):
        quantiser = RQGMM(Config(num_levels=2, codebook_size=32, device=device)).fit(vectors)
        error[device] = relative_error(vectors, quantiser.decode(quantiser.encode(vectors)))
    assert error["cuda"] == pytest.approx(error["cpu"], rel=0.05)
