"""CoBa RQ-VAE: the conformance suite, and each of its parts against its ablation on planted data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agentrec.core.errors import ConfigError
from agentrec.core.types import FloatArray, Histories, IntArray
from agentrec.semantic_ids.co_occurrence import co_occurrence, smooth
from agentrec.semantic_ids.coba_rq_vae import CoBaRQVAE, Config
from agentrec.semantic_ids.health import levels, relative_error
from agentrec.testing.quantisers import QuantizerTests

torch = pytest.importorskip("torch")

SMALL: dict[str, Any] = {"num_levels": 2, "hidden_sizes": (16,), "latent_dim": 8, "learning_rate": 2e-3}


class TestCoBa(QuantizerTests):
    def make(self) -> Any:
        return CoBaRQVAE(Config(**SMALL, codebook_size=8, epochs=8, batch_size=64))


def skewed_vectors(seed: int) -> FloatArray:
    """1,500 vectors of 40 overlapping clusters; the k-th most popular holds a share like k^-1.2."""
    rng = np.random.default_rng(seed)
    centres, shares = rng.normal(size=(40, 8)), np.arange(1, 41) ** -1.2
    owners = rng.choice(40, 1500, p=shares / shares.sum())
    return (centres[owners] + 0.5 * rng.normal(size=(1500, 8))).astype(np.float32)


def trained(vectors: FloatArray, **settings: Any) -> tuple[float, list[float]]:
    """Relative error, and perplexity per level."""
    config = Config(**SMALL, codebook_size=32, epochs=40, batch_size=256, **settings)
    quantiser = CoBaRQVAE(config).fit(vectors)
    codes = quantiser.encode(vectors)
    error = relative_error(vectors, quantiser.decode(codes))
    return error, [level["perplexity"] for level in levels(codes, [32, 32])]


@pytest.mark.parametrize("normalise", [True, False])
def test_balance_raises_perplexity_at_nearly_the_same_error(normalise: bool) -> None:
    vectors = skewed_vectors(0)
    ablation, uneven = trained(vectors, normalise_residuals=normalise, balance_strength=0.0, uniformity_weight=0.0)
    strong = {"balance_strength": 1.0, "balance_bound": 0.3, "uniformity_weight": 0.0}
    balanced, even = trained(vectors, normalise_residuals=normalise, **strong)
    assert balanced < 1.04 * ablation
    assert even[0] > uneven[0] + 0.3
    assert sum(even) > sum(uneven) + 0.3


def test_uniformity_keeps_code_vectors_apart() -> None:
    vectors, nearest = skewed_vectors(1), {}
    for weight in (0.0, 20.0):
        config = Config(
            **SMALL, codebook_size=32, epochs=30, batch_size=128, uniformity_weight=weight, uniformity_margin=1.0
        )
        book = CoBaRQVAE(config).fit(vectors).codebooks[0]
        distances = np.linalg.norm(book[:, None] - book[None], axis=2) + 1e9 * np.eye(len(book))
        nearest[weight] = float(np.mean(distances.min(axis=1)) / np.linalg.norm(book, axis=1).mean())
    assert nearest[20.0] > 1.05 * nearest[0.0]


def misleading_world(seed: int = 0) -> tuple[FloatArray, IntArray, Histories]:
    """Six needs; the text of four items in ten speaks of another need, purchases never err."""
    rng = np.random.default_rng(seed)
    needs = rng.integers(6, size=240)
    told = np.where(rng.random(240) < 0.4, rng.integers(6, size=240), needs)
    vectors = rng.normal(size=(6, 24))[told] + 0.3 * rng.normal(size=(240, 24))
    histories = [rng.choice(np.flatnonzero(needs == rng.integers(6)), 6, replace=False).tolist() for _ in range(500)]
    return vectors.astype(np.float32), needs, Histories.from_lists(histories)


def test_smoothing_gives_items_bought_together_the_same_codes_and_shuffled_purchases_do_not() -> None:
    vectors, needs, histories = misleading_world()
    graph = co_occurrence(histories, len(vectors))
    order = np.random.default_rng(1).permutation(len(vectors))
    shuffled = graph[order][:, order]
    tables = {"texts": vectors, "purchases": smooth(vectors, graph, 0.1), "shuffled": smooth(vectors, shuffled, 0.1)}
    same = needs[:, None] == needs[None]
    apart = ~same
    np.fill_diagonal(same, False)
    shared = {}
    for name, table in tables.items():
        config = Config(**SMALL, codebook_size=6, epochs=10, batch_size=64)
        first = CoBaRQVAE(config).fit(table).encode(table)[:, 0]
        together = first[:, None] == first[None]
        shared[name] = float(together[same].mean() - together[apart].mean())
    assert shared["purchases"] > shared["texts"] + 0.2
    assert shared["shuffled"] < shared["texts"] + 0.05


def test_an_item_without_purchases_is_encoded_by_its_own_vector() -> None:
    vectors, _, histories = misleading_world()
    quantiser = CoBaRQVAE(Config(**SMALL, codebook_size=8, epochs=5, batch_size=64))
    grown = np.concatenate([vectors, vectors[:1] + 0.01])  # one new item, which no history holds
    table = smooth(grown, co_occurrence(histories, len(grown)))
    assert np.array_equal(table[-1], grown[-1])
    quantiser.fit(table[:-1])
    assert np.array_equal(quantiser.encode(grown[-1:]), quantiser.encode(table[-1:]))


@pytest.mark.parametrize(
    "settings",
    [
        {"uniformity_weight": -1.0},
        {"uniformity_margin": -0.1},
        {"balance_strength": float("nan")},
        {"balance_bound": 1.0},
        {"balance_decay": -0.1},
        {"codebook_update": "ema"},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="coba_rq_vae"):
        Config(**settings)


def test_settings_of_the_base_are_checked_too() -> None:
    with pytest.raises(ConfigError, match="num_levels"):
        Config(num_levels=0)
