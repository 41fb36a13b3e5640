"""Code-book health against slow references and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import DataError
from agentrec.semantic_ids.health import gini, health, neighbour_sharing, perplexity, relative_error


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=20).filter(any))
def test_gini_and_perplexity_equal_their_definitions(values: list[int]) -> None:
    counts = np.array(values)
    slow = sum(abs(a - b) for a in values for b in values) / (2 * len(values) * sum(values))
    assert gini(counts) == pytest.approx(slow, abs=1e-12)
    shares = [value / sum(values) for value in values if value]
    assert perplexity(counts) == pytest.approx(np.prod([share**-share for share in shares]))
    assert 1 - 1e-9 <= perplexity(counts) <= len(shares) + 1e-9


def test_relative_error_is_zero_for_exact_and_one_for_the_mean() -> None:
    vectors = np.random.default_rng(0).normal(3, 1, size=(50, 4)).astype(np.float32)
    assert relative_error(vectors, vectors) == 0
    assert relative_error(vectors, np.tile(vectors.mean(axis=0), (50, 1))) == pytest.approx(1, abs=1e-5)
    assert relative_error(vectors[:1], vectors[:1]) == 0


@pytest.mark.parametrize("seed", range(3))
def test_neighbour_sharing_equals_a_slow_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, codes = rng.normal(size=(60, 5)).astype(np.float32), rng.integers(0, 4, size=(60, 2))
    shared = []
    for item in range(60):
        far = ((vectors - vectors[item]) ** 2).sum(axis=1)
        far[item] = np.inf
        shared += [codes[other, 0] == codes[item, 0] for other in np.argsort(far)[:10]]
    pairs = [codes[a, 0] == codes[b, 0] for a in range(60) for b in range(60) if a != b]
    found = neighbour_sharing(vectors, codes)
    assert found["shared"] == pytest.approx(np.mean(shared))
    assert found["chance"] == pytest.approx(np.mean(pairs))
    assert 0 <= neighbour_sharing(vectors, codes, queries=20)["shared"] <= 1


def test_neighbours_among_twins_and_few_items() -> None:
    codes = np.zeros((30, 1), np.int64)
    assert neighbour_sharing(np.ones((30, 2), np.float32), codes) == {"shared": 1, "chance": 1}
    assert neighbour_sharing(np.ones((1, 2), np.float32), codes[:1]) == {"shared": 1, "chance": 1}
    apart = np.array([[0], [1], [2]])
    assert neighbour_sharing(np.eye(3, dtype=np.float32), apart) == {"shared": 0, "chance": 0}


def test_a_report_worked_by_hand() -> None:
    codes = np.array([[0, 1], [0, 1], [1, 0], [1, 2]])
    books = [np.array([[0, 0], [4, 0]], np.float32), np.array([[0, 0], [0, 1], [0, 2], [9, 9]], np.float32)]
    vectors = np.array([[0, 1], [0, 1], [4, 0], [4, 3]], np.float32)
    report = health(vectors, codes, books)
    assert report["num_items"] == 4
    assert report["relative_error"] == pytest.approx(1 / (16 + 4.75))
    assert report["collision_rate"] == 0.25
    assert report["group_histogram"] == {"1": 2, "2": 1}
    assert report["largest_group"] == 2
    first, second = report["levels"]
    assert (first["size"], first["used"], first["perplexity"], first["gini"]) == (2, 2, pytest.approx(2), 0)
    assert (second["size"], second["used"], second["utilisation"]) == (4, 3, 0.75)
    assert report["neighbours"]["chance"] == pytest.approx(1 / 3)
    assert health(vectors, codes, books, reconstruction=vectors)["relative_error"] == 0


def test_unknown_parts_are_none() -> None:
    report = health(None, np.array([[0], [1]]))
    assert report["relative_error"] is None
    assert report["neighbours"] is None
    assert health(np.eye(2, dtype=np.float32), np.array([[0], [1]]))["relative_error"] is None


def test_parts_that_do_not_fit_are_refused() -> None:
    vectors, codes, book = np.eye(3, dtype=np.float32), np.zeros((3, 1), np.int64), np.zeros((1, 3), np.float32)
    for wrong in ((vectors[:2], codes, None), (vectors, codes, [book, book]), (vectors, codes[:0], None)):
        with pytest.raises(DataError, match="expected"):
            health(*wrong)
    with pytest.raises(DataError, match=r"level 1 do not fit its codebook; expected 0\.\.0"):
        health(vectors, codes + 1, [book])
