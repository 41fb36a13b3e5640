"""RQ-VAE: the conformance suite for each way of training, what defaults guard against, and refinement."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agentrec
from agentrec.core.errors import AgentrecError, ArtefactError, ConfigError, DataError, DataWarning
from agentrec.core.types import FloatArray
from agentrec.semantic_ids.health import levels, relative_error
from agentrec.semantic_ids.rq_vae import RQVAE, Config
from agentrec.testing.quantisers import QuantizerTests, clustered_vectors

torch = pytest.importorskip("torch")

SMALL: dict[str, Any] = {
    "codebook_size": 8,
    "hidden_sizes": (16,),
    "latent_dim": 6,
    "epochs": 8,
    "batch_size": 64,
}


class TestDefaults(QuantizerTests):
    def make(self) -> Any:
        return RQVAE(Config(**SMALL))


class TestGradientCodebooksRefined(QuantizerTests):
    def make(self) -> Any:
        return RQVAE(Config(**SMALL, num_levels=2, codebook_update="gradient", refine=True, seed=3))


class TestPositionsWithoutLinearPath(QuantizerTests):
    coarse_to_fine = False  # nothing trains the decoder on sums of fewer levels

    def make(self) -> Any:
        settings = {**SMALL, "epochs": 15, "warmup_epochs": 5, "learning_rate": 5e-3}
        return RQVAE(Config(**settings, linear_path=False, normalise_residuals=False))


class TestSinkhornAndLevelsOfTheirOwnSize(QuantizerTests):
    def make(self) -> Any:
        return RQVAE(Config(**SMALL, num_levels=2, level_sizes=(16, 4), sinkhorn_last_level=True))

    def test_sizes(self, quantiser: Any) -> None:
        assert [len(book) for book in quantiser.codebooks] == [16, 4]


@pytest.fixture(scope="module")
def vectors() -> FloatArray:
    return clustered_vectors()


@pytest.fixture(scope="module")
def fitted(vectors: FloatArray) -> RQVAE:
    return RQVAE(Config(**SMALL)).fit(vectors)


def test_codebooks_start_as_residual_k_means(vectors: FloatArray) -> None:
    from agentrec.semantic_ids.vae_network import first_codebooks

    for normalise in (True, False):
        books = first_codebooks(vectors, Config(**SMALL, normalise_residuals=normalise), 0)
        residuals, errors = vectors.astype(np.float64), []
        for book in books:
            length = np.linalg.norm(book, axis=1) if normalise else 1.0
            seekers = (book.T / length).T
            distances = ((residuals[:, None] - seekers[None]) ** 2).sum(axis=2)
            codes = distances.argmin(axis=1)
            if not normalise:
                for code in np.unique(codes):
                    np.testing.assert_allclose(book[code], residuals[codes == code].mean(axis=0), atol=0.05)
            residuals = residuals - book[codes]
            errors.append((residuals**2).sum())
        assert errors[0] < 0.5 * (vectors**2).sum()
        assert errors == sorted(errors, reverse=True)


def test_the_linear_path_starts_as_principal_components(vectors: FloatArray) -> None:
    from agentrec.semantic_ids.vae_network import start_coders

    rows = torch.from_numpy(vectors - vectors.mean(axis=0))
    _, strengths, _ = np.linalg.svd(rows.numpy(), full_matrices=False)
    for width in (12, 4):
        network = start_coders(rows, Config(**{**SMALL, "latent_dim": width}))
        with torch.no_grad():
            latents = network.encoder(rows)
            lost = float((network.decoder(latents) - rows).pow(2).sum())
        assert lost == pytest.approx(float((strengths[width:] ** 2).sum()), abs=1e-3)
        assert float(latents.pow(2).mean()) == pytest.approx(1, abs=1e-3)


def test_training_improves_on_its_start(fitted: RQVAE, vectors: FloatArray) -> None:
    assert fitted.report["error"] < fitted.report["start_error"]
    measured = relative_error(vectors, fitted.decode(fitted.encode(vectors)))
    assert measured == pytest.approx(fitted.report["error"], abs=1e-4)  # what was judged is what is used


def test_later_levels_do_not_collapse_where_those_of_common_practice_do() -> None:
    rng = np.random.default_rng(0)
    spread = np.where(rng.random(1500) < 0.9, 0.02, 1.0)[:, None]  # a dense crowd and a few stragglers
    table = (rng.normal(size=(20, 16))[rng.integers(20, size=1500)] + spread * rng.normal(size=(1500, 16))).astype("f4")
    settings: dict[str, Any] = {**SMALL, "codebook_size": 32, "latent_dim": 16, "batch_size": 256, "epochs": 10}
    habit = {"linear_path": False, "normalise_residuals": False, "restart_after": 0, "warmup_epochs": 0}
    used = {}
    for name, more in {"ours": {}, "habit": habit}.items():
        codes = RQVAE(Config(**settings, **more)).fit(table).encode(table)
        used[name] = [level["perplexity"] for level in levels(codes, [32] * 3)]
    assert min(used["ours"][1:]) > 24
    assert max(used["habit"][1:]) < 20


def test_refinement_is_never_worse(vectors: FloatArray) -> None:
    verdicts = set()
    for seed in range(3):
        for epochs in (0, 10):
            plain, refined = (
                RQVAE(Config(**SMALL, refine=refine, refine_epochs=epochs, seed=seed)).fit(vectors)
                for refine in (False, True)
            )
            report = refined.report["refinement"]
            verdicts.add(report["accepted"])
            errors = [relative_error(vectors, one.decode(one.encode(vectors))) for one in (plain, refined)]
            assert errors[1] <= errors[0]
            assert errors[1] == report["after" if report["accepted"] else "before"]["error"]
            used = [
                [level["utilisation"] for level in levels(one.encode(vectors), [8] * 3)] for one in (plain, refined)
            ]
            assert all(later >= earlier for earlier, later in zip(*used, strict=True))
    assert verdicts == {True, False}


def test_refinement_repairs_a_poor_codebook(fitted: RQVAE, vectors: FloatArray) -> None:
    from dataclasses import replace

    from agentrec.semantic_ids.vae_refinement import refine

    rng = np.random.default_rng(0)
    poor = replace(
        fitted.autoencoder,
        codebooks=tuple((book + rng.normal(size=book.shape)).astype(np.float32) for book in fitted.codebooks),
    )
    better, report = refine(vectors, poor, fitted._training())
    assert report["accepted"]
    assert report["after"]["error"] < 0.8 * report["before"]["error"]
    assert better.encoder is poor.encoder  # frozen


def test_lloyd_never_raises_the_error_and_fills_empty_codes() -> None:
    from agentrec.semantic_ids.kmeans import nearest
    from agentrec.semantic_ids.vae_refinement import lloyd

    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 3)).astype(np.float32)
    centres = np.concatenate([rng.normal(size=(5, 3)), np.full((2, 3), 90.0)]).astype(np.float32)
    errors = []
    for rounds in range(6):
        found = lloyd(points, centres, False, rounds)
        errors.append(((points - found[nearest(points, found)]) ** 2).sum())
    assert errors == sorted(errors, reverse=True)
    assert len(np.unique(nearest(points, lloyd(points, centres, False)))) == 7


def test_held_out_vectors_judge_and_stop_training() -> None:
    noise = np.random.default_rng(0).normal(size=(200, 12)).astype(np.float32)  # nothing to learn but by heart
    settings: dict[str, Any] = {**SMALL, "epochs": 60, "hidden_sizes": (64,), "learning_rate": 1e-2, "patience": 5}
    judged = RQVAE(Config(**settings, held_out=0.3)).fit(noise).report
    assert judged["epochs"] < 60
    assert judged["best_epoch"] <= judged["epochs"]
    learnt = RQVAE(Config(**settings)).fit(noise).report
    assert learnt["error"] < judged["error"]


def test_latents_are_what_the_code_vectors_sum_up_to(fitted: RQVAE, vectors: FloatArray) -> None:
    latents = fitted.latents(vectors)
    assert latents.dtype == np.float32
    codes = fitted.encode(vectors)
    sums = np.sum([book[column] for book, column in zip(fitted.codebooks, codes.T, strict=True)], axis=0)
    assert relative_error(latents, sums) < 0.2
    with pytest.raises(DataError):
        fitted.latents(vectors[:, :-1])
    with pytest.raises(DataError):
        RQVAE().latents(vectors)


def test_steps_have_a_limit(vectors: FloatArray) -> None:
    report = RQVAE(Config(**SMALL, max_steps=6)).fit(vectors).report
    assert (report["steps"], report["epochs"]) == (6, 2)


def test_fitting_leaves_torch_as_it_was(vectors: FloatArray) -> None:
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    RQVAE(Config(**{**SMALL, "epochs": 1})).fit(vectors)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_using_one_needs_no_torch(fitted: RQVAE, vectors: FloatArray, tmp_path: Path) -> None:
    fitted.save_pretrained(tmp_path / "saved")
    np.save(tmp_path / "vectors.npy", vectors)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from agentrec.semantic_ids.rq_vae import RQVAE\n"
        "codes = RQVAE.from_pretrained('saved').encode(np.load('vectors.npy'))\n"
        "np.save('codes.npy', codes)\n"
    )
    places = {**os.environ, "PYTHONPATH": str(Path(agentrec.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=places)
    assert np.array_equal(np.load(tmp_path / "codes.npy"), fitted.encode(vectors))


def test_the_report_is_saved(fitted: RQVAE, tmp_path: Path) -> None:
    fitted.save_pretrained(tmp_path / "saved")
    assert RQVAE.from_pretrained(tmp_path / "saved").report == fitted.report


def test_pieces_of_large_tables_do_not_matter(
    fitted: RQVAE, vectors: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = fitted.encode(vectors)
    whole = fitted.decode(codes)
    monkeypatch.setattr("agentrec.semantic_ids.autoencoder.CHUNK", 7)
    assert np.array_equal(fitted.encode(vectors), codes)
    np.testing.assert_allclose(fitted.decode(codes), whole, atol=1e-6)


def test_few_or_equal_vectors_shrink_the_levels_with_a_warning() -> None:
    with pytest.warns(DataWarning, match=r"rq_vae: .*going on with \[1, 1, 1\]"):
        quantiser = RQVAE(Config(**SMALL)).fit(np.ones((9, 3), np.float32))
    np.testing.assert_allclose(quantiser.decode(quantiser.encode(np.ones((2, 3), np.float32))), 1, atol=1e-3)


def test_divergence_is_told(vectors: FloatArray) -> None:
    with pytest.raises(AgentrecError, match="lower learning_rate"):
        RQVAE(Config(**{**SMALL, "learning_rate": 1e30})).fit(vectors)


def test_decode_refuses_codes_outside_their_level(fitted: RQVAE) -> None:
    with pytest.raises(DataError, match="row 0 has code 8 on level 1"):
        fitted.decode(np.array([[8, 0, 0]]))


def test_an_unfitted_quantiser_does_not_load(tmp_path: Path) -> None:
    RQVAE().save_pretrained(tmp_path / "saved")
    with pytest.raises(ArtefactError, match="fit it again"):
        RQVAE.from_pretrained(tmp_path / "saved")


@pytest.mark.parametrize(
    "settings",
    [
        {"num_levels": 0},
        {"latent_dim": 0},
        {"epochs": 0},
        {"commitment": -1.0},
        {"commitment": float("nan")},
        {"learning_rate": 0.0},
        {"ema_decay": 1.0},
        {"held_out": 1.0},
        {"hidden_sizes": (0,)},
        {"level_sizes": (8,)},
        {"codebook_update": "magic"},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="rq_vae setting"):
        Config(**settings)
