import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from agentrec.metrics import diversity
from agentrec.metrics.diversity import coverage, exposure, gini, intra_list_diversity
from agentrec.metrics.lists import row_blocks

lists = st.builds(
    lambda seed, users, k, n: (np.random.default_rng(seed).integers(-1, n, (users, k)), n),
    st.integers(0, 10_000),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(1, 9),
)


@settings(deadline=None, max_examples=80)
@given(lists)
def test_both_equal_their_definitions(case):
    items, n = case
    counts = [sum(int(item == shown) for shown in items.ravel()) for item in range(n)]
    assert exposure(items, n).tolist() == counts
    assert coverage(items, n) == pytest.approx(sum(count > 0 for count in counts) / n)
    # Half the mean absolute difference between all pairs, relative to the mean.
    differences = sum(abs(first - second) for first in counts for second in counts)
    expected = differences / (2 * n * sum(counts)) if sum(counts) else 0.0
    assert gini(items, n) == pytest.approx(expected)


def test_even_exposure_is_zero_and_one_item_for_all_is_nearly_one():
    assert gini(np.array([[0, 1], [2, 3]]), 4) == 0.0
    assert gini(np.zeros((50, 1), int), 100) == pytest.approx(0.99)


def test_an_item_out_of_range_is_refused():
    with pytest.raises(ValueError, match="item 4 is unknown among 4 items; expected 0 to 3"):
        coverage(np.array([[4]]), 4)


@st.composite
def lists_and_vectors(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    num_items, dim = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    vectors = rng.standard_normal((num_items, dim)) * (rng.random((num_items, 1)) > 0.2)
    items = rng.integers(-1, num_items, (draw(st.integers(1, 6)), draw(st.integers(1, 6))))
    return items, vectors, draw(st.integers(1, 7))


def slow_diversity(row, vectors):
    distinct = [item for item in sorted(set(row.tolist()) - {-1}) if np.linalg.norm(vectors[item]) > 0]
    units = [vectors[item] / np.linalg.norm(vectors[item]) for item in distinct]
    cosines = [first @ second for first, second in combinations(units, 2)]
    return 1 - sum(cosines) / len(cosines) if cosines else math.nan


@settings(deadline=None, max_examples=80)
@given(lists_and_vectors())
def test_diversity_inside_lists_equals_the_mean_over_pairs(case):
    items, vectors, k = case
    expected = [slow_diversity(row[:k], vectors) for row in items]
    for form in (vectors, sparse.csr_array(vectors), sparse.csc_matrix(vectors)):
        np.testing.assert_allclose(intra_list_diversity(items, form, k), expected, atol=1e-9)
    narrow = intra_list_diversity(items.astype(np.int32), vectors.astype(np.float32), k)
    np.testing.assert_allclose(narrow, expected, atol=1e-5)


def test_lists_of_one_cluster_are_less_diverse_than_lists_over_clusters():
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(10), 20, axis=0)
    vectors = (centres + 0.1 * rng.standard_normal(centres.shape)).astype(np.float32)
    one = rng.integers(0, 10, (50, 1)) * 20 + rng.permuted(np.tile(np.arange(20), (50, 1)), axis=1)[:, :10]
    over = np.arange(10) * 20 + rng.integers(0, 20, (50, 10))
    assert intra_list_diversity(one, vectors, 10).max() < 0.2
    assert intra_list_diversity(over, vectors, 10).min() > 0.9


def test_diversity_of_known_angles():
    vectors = np.array([[1, 0], [5, 0], [0, 2], [-3, 0], [0, 0]])
    lists = np.array([[0, 1, 4], [0, 2, 2], [0, 3, -1], [0, 0, 4], [-1, -1, -1]])
    np.testing.assert_allclose(intra_list_diversity(lists, vectors, 3), [0.0, 1.0, 2.0, np.nan, np.nan])


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    items, vectors = rng.integers(-1, 30, (50, 8)), rng.standard_normal((30, 16))
    whole = exposure(items, 30), intra_list_diversity(items, vectors, 8)
    monkeypatch.setattr(row_blocks, "__kwdefaults__", {"cells": 24})
    monkeypatch.setattr(diversity, "CELLS", 24)
    np.testing.assert_array_equal(exposure(items, 30), whole[0])
    np.testing.assert_allclose(intra_list_diversity(items, vectors, 8), whole[1], atol=1e-12)


@pytest.mark.parametrize("vectors", [np.zeros(3), np.array([[np.nan]]), sparse.csr_array([[np.inf]])])
def test_vectors_that_are_no_finite_matrix_are_refused(vectors):
    with pytest.raises(ValueError, match=r"expected \(N, D\) numbers"):
        intra_list_diversity(np.zeros((1, 1), int), vectors, 1)
