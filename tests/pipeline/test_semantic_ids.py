"""Texts to semantic IDs as one step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentrec.core.errors import ConfigError, DataError, UnknownNameError
from agentrec.core.types import Catalogue
from agentrec.pipeline.semantic_ids import (
    fit_semantic_ids,
    load_quantiser,
    load_text_encoder,
    problem_of,
    report_semantic_ids,
    suitable_codebook_size,
)

WORDS = ["red", "blue", "hat", "shoe", "wool", "silk", "large", "small", "lamp", "nail"]


class Items:
    """The least that a data set must offer."""

    fingerprint = "abc"

    def __init__(self, size: int) -> None:
        rng = np.random.default_rng(0)
        titles = [" ".join(rng.choice(WORDS, size=3)) for _ in range(size)]
        self.catalogue = Catalogue(tuple(f"i{item}" for item in range(size)), {"title": tuple(titles)})

    def require_texts(self, columns: list[str] | None = None) -> list[str]:
        return self.catalogue.texts(columns)


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
def test_parts_of_the_result_agree(tmp_path: Path) -> None:
    items = Items(120)
    found = fit_semantic_ids(items, num_levels=2, codebook_size=6, seed=4)
    assert np.array_equal(found.vocabulary.codes[:, :2], found.quantiser.encode(found.vectors))
    assert found.vocabulary.item_ids == items.catalogue.ids
    assert found.vocabulary.provenance["data"] == "abc"
    assert found.quantiser.provenance == found.vocabulary.provenance
    assert found.health["num_items"] == len(found.vectors) == 120
    assert found.vocabulary.level_sizes == (6, 6, found.health["largest_group"])
    assert found.health["neighbours"]["shared"] > 2 * found.health["neighbours"]["chance"]
    found.save(tmp_path / "sids")
    quantiser = load_quantiser(tmp_path / "sids")
    assert report_semantic_ids(found.vocabulary, items, quantiser) == found.health
    encoder = load_text_encoder(tmp_path / "sids")
    assert report_semantic_ids(found.vocabulary, items, quantiser, encoder) == found.health
    assert load_quantiser(tmp_path) is None
    assert load_text_encoder(tmp_path) is None


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
@pytest.mark.parametrize(
    ("collisions", "settings", "sizes"),
    [
        ("next_best", {}, (12, 12)),
        ("zero_collision", {"moves": "prefix"}, (12, 12)),
        ("hash", {"replace": False, "size": 50}, (12, 12, 50)),
        ("append", {"size": 30}, (12, 12, 30)),
    ],
)
def test_collisions_are_resolved_as_asked(
    tmp_path: Path, collisions: str, settings: dict[str, object], sizes: tuple[int, ...]
) -> None:
    items = Items(100)
    found = fit_semantic_ids(
        items, num_levels=2, codebook_size=12, collisions=collisions, settings={"collisions": settings}
    )
    assert found.vocabulary.level_sizes == sizes
    assert found.vocabulary.provenance["collisions"] == collisions
    assert found.vocabulary.provenance["settings"]["collisions"] == settings
    resolution = found.health["resolution"]
    before = found.quantiser.encode(found.vectors)
    assert resolution["policy"] == collisions
    assert resolution["moved"] == (found.vocabulary.codes[:, :2] != before).any(axis=1).sum()
    assert (resolution["moved"] > 0) == (collisions in ("next_best", "zero_collision"))
    assert found.health["collision_rate"] > 0  # of the codes before
    found.save(tmp_path / "sids")
    assert report_semantic_ids(found.vocabulary, items, load_quantiser(tmp_path / "sids")) == found.health


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
@pytest.mark.parametrize("quantiser", ["rq_kmeans", "rq_gmm", "rq_vae"])
def test_distances_are_weighed_where_the_codebooks_lie(quantiser: str) -> None:
    """Also where latents have as many dimensions as vectors, so that no shape tells them apart."""
    settings: dict[str, dict[str, object]] = {"vectors": {"embedding_dim": 6}}
    if quantiser == "rq_vae":
        pytest.importorskip("torch")
        settings["quantiser"] = {"epochs": 3, "latent_dim": 6, "hidden_sizes": [8]}
    items = Items(80)
    found = fit_semantic_ids(
        items, quantiser=quantiser, num_levels=2, codebook_size=12, collisions="next_best", settings=settings
    )
    error = found.health["resolution"]["relative_error"]
    assert error["before"] == pytest.approx(found.health["relative_error"], rel=1e-6)
    spread = ((found.vectors - found.vectors.mean(axis=0)) ** 2).sum()
    after = ((found.vectors - found.quantiser.decode(found.vocabulary.codes)) ** 2).sum() / spread
    assert error["after"] == pytest.approx(after, rel=1e-5)
    problem = problem_of(found.quantiser, found.vectors, items.catalogue.ids)
    assert problem.vectors is not None
    latent = found.quantiser.autoencoder.latents(found.vectors) if quantiser == "rq_vae" else found.vectors
    np.testing.assert_allclose(problem.vectors, latent, atol=1e-6)
    books = found.quantiser.codebooks
    left = problem.vectors - books[0][problem.codes[:, 0]]
    direction = left @ (books[1] / np.maximum(np.linalg.norm(books[1], axis=1, keepdims=True), 1e-12)).T
    assert direction[np.arange(80), problem.codes[:, 1]].mean() > direction.mean()  # codes describe these vectors


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
def test_codes_without_collisions_get_no_further_level() -> None:
    items = Items(4)
    items.catalogue = Catalogue(items.catalogue.ids, {"title": ("red hat", "blue shoe", "silk lamp", "small nail")})
    assert fit_semantic_ids(items, num_levels=2, codebook_size=6).vocabulary.num_levels == 2


def test_names_and_settings_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="rq_kmeans"):
        fit_semantic_ids(Items(5), quantiser="rq_magic")
    with pytest.raises(
        ConfigError, match="the part 'quantizer'; expected vectors, quantiser, collisions, fusion or signal"
    ):
        fit_semantic_ids(Items(5), settings={"quantizer": {}})
    with pytest.raises(ConfigError, match="'num_levels' is 0"):
        fit_semantic_ids(Items(5), num_levels=0)
    with pytest.raises(UnknownNameError, match="append, hash, keep, next_best"):
        fit_semantic_ids(Items(5), collisions="shuffle")
    with pytest.raises(ConfigError, match=r"'keep', .* so take append, next_best or zero_collision"):
        fit_semantic_ids(Items(5), collisions="keep")
    with pytest.raises(ConfigError, match="no setting 'move'"):
        fit_semantic_ids(Items(5), collisions="zero_collision", settings={"collisions": {"move": "prefix"}})
    with pytest.raises(UnknownNameError, match="tfidf_svd"):
        fit_semantic_ids(Items(5), vectors="word2vec")


@pytest.mark.filterwarnings("ignore::agentrec.core.errors.DataWarning")
def test_settings_of_the_parts_are_passed_on() -> None:
    found = fit_semantic_ids(
        Items(120),
        num_levels=2,
        settings={"vectors": {"embedding_dim": 5}, "quantiser": {"level_sizes": [4, 8], "normalise_residuals": False}},
    )
    assert found.vectors.shape == (120, 5)
    assert found.vocabulary.level_sizes[:2] == (4, 8)
    assert found.vocabulary.provenance["settings"]["quantiser"]["level_sizes"] == [4, 8]
    assert report_semantic_ids(found.vocabulary, Items(120), found.quantiser) == found.health


@pytest.mark.data
@pytest.mark.slow
def test_every_level_is_used_on_real_items(data_folder: Path) -> None:
    from agentrec.data.load import load_dataset

    found = fit_semantic_ids(load_dataset(data_folder / "amazon_scientific"))
    assert min(level["perplexity"] for level in found.health["levels"]) > 190
    assert found.health["collision_rate"] < 0.25
    assert found.health["neighbours"]["shared"] > 0.7
    assert found.health["neighbours"]["chance"] < 0.01


def test_the_codebook_suits_the_catalogue() -> None:
    sizes = [suitable_codebook_size(items) for items in (1, 60, 600, 4_344, 12_101, 10**6)]
    assert sizes == [16, 16, 32, 256, 256, 256]


def test_text_columns_decide_what_is_read() -> None:
    titles, noise = ("red tent", "blue tent", "red mug", "blue mug"), ("x y", "z w", "z w", "x y")
    catalogue = Catalogue(("1", "2", "3", "4"), {"title": titles, "noise": noise})
    assert catalogue.texts(["noise"]) == list(noise)
    assert catalogue.texts() == ["red tent. x y", "blue tent. z w", "red mug. z w", "blue mug. x y"]
    with pytest.raises(DataError, match="no text column 'brand'; those that exist are title, noise"):
        catalogue.texts(["brand"])
