"""Fusions: what they promise whatever the numbers, exact references, planted signal, and items that come later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ArtefactError, ConfigError, DataError, UnknownNameError
from agentrec.vectors.fusion.aligned import Aligned, ridge
from agentrec.vectors.fusion.base import Signal, deviation
from agentrec.vectors.fusion.fuse import REGISTRY, fusion, load_fusion

NAMES = ["aligned", "concat", "smooth"]
SIZE = 60


def halfway(vectors: np.ndarray, alpha: float, steps: int) -> np.ndarray:
    """A stand-in for smoothing along a graph in which all items are bought with all."""
    return (alpha * vectors + (1 - alpha) * vectors.mean(axis=0)).astype(np.float32) if steps else vectors


def world(seed: int = 0, size: int = SIZE) -> tuple[np.ndarray, Signal, list[str]]:
    """Text vectors, a signal in which every tenth item is unknown, and ids."""
    rng = np.random.default_rng(seed)
    text, known = rng.normal(size=(size, 8)).astype(np.float32), np.arange(size) % 10 != 0
    vectors = np.where(known[:, None], rng.normal(size=(size, 5)), 0).astype(np.float32)
    counts = np.where(known, rng.integers(1, 30, size), 0)
    return text, Signal(vectors, counts, halfway), [f"i{item}" for item in range(size)]


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def test_all_are_listed() -> None:
    assert REGISTRY.names() == NAMES
    assert all(summary.endswith(".") for summary in REGISTRY.summaries().values())
    with pytest.raises(UnknownNameError, match="aligned, concat, smooth"):
        fusion("average")
    with pytest.raises(ConfigError, match="no setting 'share'"):
        fusion("concat", {"share": 0.5})


@pytest.mark.parametrize("name", NAMES)
def test_an_item_is_told_by_its_id_and_saving_changes_nothing(name: str, tmp_path: Path) -> None:
    text, signal, ids = world()
    fitted = fusion(name).fit(text, signal, ids)
    whole = fitted.transform(text, ids)
    assert whole.dtype == np.float32
    assert whole.shape[0] == SIZE
    order = np.random.default_rng(1).permutation(SIZE)[:20]
    part = fitted.transform(text[order], [ids[row] for row in order])
    np.testing.assert_allclose(part, whole[order], atol=1e-6)
    fitted.save_pretrained(tmp_path / "fusion")
    loaded = load_fusion(tmp_path / "fusion")
    assert np.array_equal(loaded.transform(text, ids), whole)
    assert np.array_equal(loaded.transform(text), fitted.transform(text))
    assert loaded.config == fitted.config


@pytest.mark.parametrize("name", NAMES)
def test_new_items_have_their_text_alone(name: str) -> None:
    text, signal, ids = world()
    fitted = fusion(name).fit(text, signal, ids)
    new = fitted.transform(text)
    assert np.array_equal(new, fitted.transform(text, [f"new {item}" for item in ids]))
    old = fitted.transform(text, ids)
    unknown = ~signal.vectors.any(axis=1)
    assert not np.allclose(new[~unknown], old[~unknown])
    if name != "smooth":  # the graph of `halfway` knows all
        assert np.array_equal(new[unknown], old[unknown])
    assert new.shape == old.shape


@pytest.mark.parametrize("name", ["aligned", "concat"])
@settings(max_examples=15, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(0, 5))
def test_the_scale_of_neither_part_matters(name, first, second, seed):
    text, signal, ids = world(seed)
    plain = fusion(name).fit(text, signal, ids).transform(text, ids)
    scaled = Signal((second * signal.vectors).astype(np.float32), signal.counts)
    larger = (first * text).astype(np.float32)
    np.testing.assert_allclose(fusion(name).fit(larger, scaled, ids).transform(larger, ids), plain, atol=2e-4)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.integers(0, 9))
def test_concat_gives_each_part_its_share_of_the_variance(weight, seed):
    text, signal, ids = world(seed)
    known = signal.vectors.any(axis=1)
    found = fusion("concat", {"weight": weight}).fit(text, signal, ids).transform(text, ids).astype(np.float64)
    spread = [deviation(part[rows]) ** 2 if part.any() else 0 for part, rows in parts(found, weight, known)]
    assert spread == pytest.approx([1 - weight, weight], abs=1e-5)


def parts(found: np.ndarray, weight: float, known: np.ndarray) -> list[tuple[np.ndarray, object]]:
    everybody = np.ones(len(found), bool)
    if weight in (0, 1):
        nothing = np.zeros((len(found), 1))
        assert found.shape[1] == (8 if weight == 0 else 5)
        return [(found, everybody), (nothing, known)] if weight == 0 else [(nothing, everybody), (found, known)]
    assert found.shape[1] == 13
    return [(found[:, :8], everybody), (found[:, 8:], known)]


def test_concat_by_hand() -> None:
    text, rows = np.array([[1, 0], [-1, 0]], np.float32), np.array([[0, 4], [0, 0]], np.float32)
    # the text has deviation 1; one known item has none, so its length counts
    fitted = fusion("concat", {"weight": 0.36}).fit(text, Signal(rows), ["a", "b"])
    np.testing.assert_allclose(fitted.transform(text, ["a", "b"]), [[0.8, 0, 0, 0.6], [-0.8, 0, 0, 0]], atol=1e-6)


def test_projected_concat_keeps_lengths_where_it_keeps_directions() -> None:
    text, signal, ids = world()
    whole = fusion("concat").fit(text, signal, ids).transform(text, ids)
    turned = fusion("concat", {"embedding_dim": 13}).fit(text, signal, ids).transform(text, ids)
    np.testing.assert_allclose(turned @ turned.T, whole @ whole.T, atol=1e-4)
    few = fusion("concat", {"embedding_dim": 4}).fit(text, signal, ids).transform(text, ids)
    np.testing.assert_allclose(few, turned[:, :4], atol=1e-4)
    left, spectrum, _ = np.linalg.svd(whole, full_matrices=False)
    np.testing.assert_allclose(few @ few.T, (left[:, :4] * spectrum[:4] ** 2) @ left[:, :4].T, atol=1e-3)
    with pytest.raises(ConfigError, match="'embedding_dim' is 14; expected at most 13"):
        fusion("concat", {"embedding_dim": 14}).fit(text, signal, ids)


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 10.0])
def test_ridge_equals_scikit_learn(penalty: float) -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    inputs, outputs = rng.normal(2, 3, size=(40, 6)).astype(np.float32), rng.normal(size=(40, 3)).astype(np.float32)
    weights, bias = ridge(inputs, outputs, penalty)
    alpha = penalty * ((inputs - inputs.mean(axis=0)) ** 2).sum() / 6
    model = Ridge(alpha=float(alpha)).fit(inputs.astype(np.float64), outputs.astype(np.float64))
    np.testing.assert_allclose(weights, model.coef_.T, atol=1e-5)
    np.testing.assert_allclose(bias, model.intercept_, atol=1e-5)


def test_texts_that_are_all_alike_predict_the_mean() -> None:
    weights, bias = ridge(np.full((4, 2), 3.0, np.float32), np.arange(8, dtype=np.float32).reshape(4, 2), 0.1)
    assert not weights.any()
    np.testing.assert_allclose(bias, [3, 4])


def test_aligned_mixes_by_how_often_an_item_was_seen() -> None:
    text, signal, ids = world()
    fitted = Aligned().fit(text, signal, ids)
    weights, bias = ridge(text[signal.counts >= 5], signal.vectors[signal.counts >= 5], 0.1)
    expected = []
    for vector, row, count in zip(text, signal.vectors, signal.counts, strict=True):
        trust = count / (count + 5)
        expected.append(trust * row + (1 - trust) * (vector @ weights + bias))
    mixed = np.array(expected)
    whole = np.sqrt(0.5) * np.concatenate([text / deviation(text), mixed / deviation(mixed)], axis=1)
    np.testing.assert_allclose(fitted.transform(text, ids), whole, atol=1e-5)
    as_seen = fusion("aligned", {"weight": 1.0, "shrinkage": 0.0}).fit(text, signal, ids).transform(text, ids)
    known = signal.counts > 0
    np.testing.assert_allclose(cosines(as_seen[known]), cosines(signal.vectors[known]), atol=1e-5)


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texts with a loud feature that misleads and a quiet one that tells the group; collaborative rows; groups."""
    rng = np.random.default_rng(seed)
    group, loud = rng.integers(6, size=300), rng.integers(6, size=300)
    text = 3 * np.eye(6)[loud] @ rng.normal(size=(6, 16)) + np.eye(6)[group] @ rng.normal(size=(6, 16))
    vectors = np.eye(6)[group] + 0.1 * rng.normal(size=(300, 6))
    return (text + 0.1 * rng.normal(size=text.shape)).astype(np.float32), vectors.astype(np.float32), group


def purity(vectors: np.ndarray, group: np.ndarray, rows: np.ndarray) -> float:
    """Share of the 5 nearest among other rows that belong to the item's group."""
    near = cosines(vectors)
    near[:, rows] = -2  # neighbours are old items
    return float((group[np.argsort(-near[rows], axis=1)[:, :5]] == group[rows][:, None]).mean())


def test_aligned_gives_new_items_the_neighbours_that_their_buyers_will_want() -> None:
    text, vectors, group = planted()
    old, new = np.arange(240), np.arange(240, 300)
    signal, ids = Signal(vectors[old], np.full(240, 20)), [f"i{item}" for item in range(300)]
    by_name = {name: fusion(name, {"weight": 0.8}).fit(text[old], signal, ids[:240]) for name in ("aligned", "concat")}
    found = {name: purity(fitted.transform(text, ids), group, new) for name, fitted in by_name.items()}
    chance = float((group[old] == group[new][:, None]).mean())
    assert chance < 0.25
    assert found["aligned"] > 0.9
    assert found["aligned"] > found["concat"] + 0.2  # which has but the loud text
    shuffled = Signal(np.random.default_rng(1).permutation(vectors[old]), np.full(240, 20))
    lost = fusion("aligned", {"weight": 1.0}).fit(text[old], shuffled, ids[:240]).transform(text, ids)
    assert purity(lost, group, new) < chance + 0.15


def test_aligned_gives_rare_items_what_their_text_says() -> None:
    text, vectors, group = planted()
    counts, rare = np.full(300, 50), np.arange(240, 300)
    vectors[rare] = np.random.default_rng(2).permutation(vectors[rare])  # one purchase each, by accident
    counts[rare] = 1
    ids = [f"i{item}" for item in range(300)]
    found = {
        shrinkage: purity(
            fusion("aligned", {"weight": 1.0, "shrinkage": shrinkage})
            .fit(text, Signal(vectors, counts), ids)
            .transform(text, ids),
            group,
            rare,
        )
        for shrinkage in (0.0, 5.0)
    }
    assert found[5.0] > 0.9
    assert found[0.0] < 0.5


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_refused(name: str) -> None:
    text, signal, ids = world()
    built = fusion(name)
    with pytest.raises(DataError, match=f"{name} knows no items yet"):
        built.transform(text)
    with pytest.raises(DataError, match=f"{name} knows no items yet"):
        built.state()
    with pytest.raises(DataError, match=r"text vectors have shape \(60, 8\); expected \(59, D\)"):
        built.fit(text, signal, ids[1:])
    with pytest.raises(DataError, match=f"{name} needs"):
        built.fit(text, Signal(), ids)
    broken = text.copy()
    broken[7] = np.inf
    with pytest.raises(DataError, match="not finite, the first in row 7"):
        built.fit(broken, signal, ids)
    built.fit(text, signal, ids)
    with pytest.raises(DataError, match=r"text vectors have shape \(60, 3\); expected \(N, 8\)"):
        built.transform(text[:, :3], ids)
    with pytest.raises(DataError, match="59 item ids belong to 60 text vectors"):
        built.transform(text, ids[1:])
    config, arrays = built.state()
    with pytest.raises(ArtefactError, match="60 rows for 59 items"):
        type(built).from_state({**config, "item_ids": ids[1:]}, arrays)


def test_a_signal_that_says_nothing_is_refused() -> None:
    text, signal, ids = world()
    for name in ("aligned", "concat"):
        with pytest.raises(DataError, match="say nothing of any item"):
            fusion(name).fit(text, Signal(np.zeros((SIZE, 3), np.float32), signal.counts), ids)
        with pytest.raises(DataError, match=r"collaborative vectors have shape \(59, 5\); expected \(60, D\)"):
            fusion(name).fit(text, Signal(signal.vectors[1:], signal.counts), ids)
    with pytest.raises(DataError, match="0 items have 29 training interactions and company"):
        fusion("aligned", {"min_count": 29}).fit(text, signal._replace(counts=np.minimum(signal.counts, 28)), ids)
    with pytest.raises(DataError, match="how often each of 60 items was seen; none"):
        fusion("aligned").fit(text, Signal(signal.vectors), ids)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("concat", {"weight": 1.5}),
        ("concat", {"embedding_dim": 0}),
        ("aligned", {"weight": -0.1}),
        ("aligned", {"ridge": 0.0}),
        ("aligned", {"min_count": 0}),
        ("smooth", {"alpha": 0.0}),
        ("smooth", {"steps": -1}),
    ],
)
def test_settings_out_of_range_are_refused(name: str, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{name}.*{next(iter(wrong))}"):
        fusion(name, wrong)
