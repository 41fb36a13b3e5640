"""New items get IDs, removed ones free theirs, and nobody else's ID changes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import DataError, DataWarning
from agentrec.core.rng import generator
from agentrec.semantic_ids.collisions import Problem, append_level, collision_rate, solve
from agentrec.semantic_ids.extend import extend, remove
from agentrec.semantic_ids.neighbours import neighbour_pairs
from agentrec.semantic_ids.rq_kmeans import Config, RQKMeans
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.quantisers import clustered_vectors

INSIDE = [
    ("next_best", {}),
    ("zero_collision", {}),
    ("zero_collision", {"moves": "prefix"}),
    ("hash", {}),
    ("hash", {"replace": False, "size": 64}),
    ("append", {"size": 64}),
]


def tenth(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of nine tenths, and of the tenth that comes later."""
    rows = generator(0, "withheld").permutation(len(vectors))
    return np.sort(rows[len(rows) // 10 :]), np.sort(rows[: len(rows) // 10])


def problem_of(quantiser: RQKMeans, vectors: np.ndarray, rows: np.ndarray) -> Problem:
    keys = [f"i{row}" for row in rows.tolist()]
    return Problem(quantiser.encode(vectors[rows]), vectors=vectors[rows], codebooks=quantiser.codebooks, keys=keys)


def check_withheld(vectors: np.ndarray, quantiser: RQKMeans, policy: str, config: dict[str, object]) -> None:
    """Fit on nine tenths, extend by the rest, take it out again and put it back."""
    old, new = tenth(vectors)
    known, coming = problem_of(quantiser, vectors, old), problem_of(quantiser, vectors, new)
    fitted = solve(known, policy, config)
    vocabulary = SIDVocabulary(fitted.codes, fitted.level_sizes, known.keys)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = extend(vocabulary, coming, coming.keys, policy=policy, settings=config)
    assert np.array_equal(found.codes[: len(old)], vocabulary.codes)
    assert found.item_ids == (*(vocabulary.item_ids or ()), *(coming.keys or ()))
    assert found.level_sizes == vocabulary.level_sizes
    assert collision_rate(found.codes) == 0
    assert (found.codes < found.level_sizes).all()

    order = np.concatenate([old, new])
    rows, near = neighbour_pairs(vectors[order])
    later = rows >= len(old)
    first = found.codes[:, 0]
    shared = (first[near[later]] == first[rows[later]][:, None]).mean()
    counts = np.bincount(first)
    chance = (counts * (counts - 1)).sum() / (len(first) * (len(first) - 1))
    assert shared > 4 * chance

    shrunk = remove(found, range(len(old), len(order)))
    assert np.array_equal(shrunk.codes, vocabulary.codes)
    assert shrunk.item_ids == vocabulary.item_ids
    again = extend(shrunk, coming, coming.keys, policy=policy, settings=config)
    assert again.fingerprint == found.fingerprint


@pytest.mark.parametrize(("policy", "config"), INSIDE)
def test_a_withheld_tenth_gets_ids_among_the_others(policy: str, config: dict[str, object]) -> None:
    vectors = clustered_vectors(900)
    quantiser = RQKMeans(Config(num_levels=3, level_sizes=(12, 12, 40))).fit(vectors[tenth(vectors)[0]])
    assert collision_rate(quantiser.encode(vectors)) > 0.02
    check_withheld(vectors, quantiser, policy, config)


def test_an_appended_level_grows_with_a_warning() -> None:
    vocabulary = SIDVocabulary(append_level(np.array([[0, 1], [0, 1], [1, 0]])))
    assert vocabulary.level_sizes == (2, 2, 2)
    with pytest.warns(DataWarning, match="grew from 2 to 4 codes; a model trained on the old IDs lacks their tokens"):
        found = extend(vocabulary, Problem(np.array([[0, 1], [1, 1], [0, 1]]), (2, 2)), policy="append")
    assert found.level_sizes == (2, 2, 4)
    assert found.codes[3:].tolist() == [[0, 1, 2], [1, 1, 0], [0, 1, 3]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inside = extend(vocabulary, Problem(np.array([[1, 0]]), (2, 2)), policy="append")
    assert inside.codes[3].tolist() == [1, 0, 1]


def test_another_policy_than_that_of_fit_stays_inside_the_levels() -> None:
    vectors = clustered_vectors(300)
    quantiser = RQKMeans(Config(num_levels=2, codebook_size=20)).fit(vectors)
    old, new = tenth(vectors)
    fitted = solve(problem_of(quantiser, vectors, old), "append")
    vocabulary = SIDVocabulary(fitted.codes, fitted.level_sizes)
    found = extend(vocabulary, problem_of(quantiser, vectors, new), policy="next_best")
    assert found.level_sizes == vocabulary.level_sizes
    assert not found.codes[len(old) :, -1].any()
    assert collision_rate(found.codes[:, :2][len(old) :]) == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 10), st.integers(1, 6))
def test_freed_codes_are_given_again_unless_held_back(seed: int, size: int, coming: int) -> None:
    rng = generator(seed, "extend")
    codes = rng.choice(64, size + 1, replace=False)
    vocabulary = SIDVocabulary(np.column_stack([codes // 8, codes % 8]), (8, 8))
    gone = sorted(rng.choice(size + 1, rng.integers(1, size + 1), replace=False).tolist())
    freed = vocabulary.codes[gone]
    shrunk = remove(vocabulary, gone)
    kept = [row for row in range(size + 1) if row not in gone]
    assert shrunk.codes.tolist() == vocabulary.codes[kept].tolist()
    assert shrunk.level_sizes == (8, 8)
    books = [rng.normal(size=(8, 2)).astype(np.float32) for _ in range(2)]
    vectors = rng.normal(size=(coming, 2)).astype(np.float32)
    asked = freed[rng.integers(0, len(freed), coming)]
    new = Problem(asked, (8, 8), vectors, books)
    given_again = set(map(tuple, extend(shrunk, new).codes[len(kept) :].tolist()))
    assert given_again & set(map(tuple, freed.tolist()))
    held = set(map(tuple, extend(shrunk, new, avoid=freed).codes[len(kept) :].tolist()))
    assert not held & set(map(tuple, freed.tolist()))


def test_misuse_is_refused() -> None:
    vocabulary = SIDVocabulary(np.array([[0, 1], [1, 0]]), (2, 2), ["a", "b"])
    new = Problem(np.array([[0, 0]]), (2, 2))
    for ids, message in (
        (None, "has item ids, and none came with 1 new items"),
        (["c", "d"], "2 item ids came with 1 new items"),
        (["a"], "the new item 'a' is in the vocabulary or given twice"),
    ):
        with pytest.raises(DataError, match=message):
            extend(vocabulary, new, ids, policy="append")
    with pytest.raises(DataError, match="has no item ids, and 1 item ids came"):
        extend(SIDVocabulary(vocabulary.codes), new, ["c"], policy="append")
    for wrong in (Problem(np.array([[0]])), Problem(np.array([[0, 0]]), (2, 3)), Problem(np.zeros((1, 3), np.int64))):
        with pytest.raises(DataError, match="expected codes of the quantiser that made the vocabulary"):
            extend(vocabulary, wrong, ["c"], policy="append")
    with pytest.raises(DataError, match="the codes in use have no level of hashes"):
        extend(
            vocabulary,
            Problem(np.array([[0, 0]]), (2, 2), keys=["c"]),
            ["c"],
            policy="hash",
            settings={"replace": False},
        )
    for items, message in (
        ([2], "no item 2 to remove"),
        ([-1], "no item -1"),
        ([0, 1], "all 2 items would be removed"),
    ):
        with pytest.raises(DataError, match=message):
            remove(vocabulary, items)
    assert remove(vocabulary, []).fingerprint == vocabulary.fingerprint


@pytest.mark.data
@pytest.mark.slow
def test_a_withheld_tenth_of_real_items(data_folder: Path) -> None:
    from agentrec.data.load import load_dataset
    from agentrec.vectors.tfidf_svd import TfidfSvd

    texts = load_dataset(data_folder / "amazon_scientific").require_texts()
    old, _ = tenth(np.zeros((len(texts), 1)))
    vectors = TfidfSvd().fit([texts[row] for row in old.tolist()]).encode(texts)
    quantiser = RQKMeans(Config(num_levels=3, codebook_size=256)).fit(vectors[old])
    for policy, config in INSIDE:
        check_withheld(vectors, quantiser, policy, config)
