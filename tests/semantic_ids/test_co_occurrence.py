"""The item graph and smoothing along it: slow references, who is pulled where, and that no held-out row enters."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from agentrec.core.errors import ConfigError, DataError
from agentrec.core.types import Histories
from agentrec.data.split import leave_one_out
from agentrec.data.table import from_frames
from agentrec.semantic_ids.co_occurrence import co_occurrence, smooth

lists = st.lists(st.lists(st.integers(0, 5), max_size=8), max_size=6)


@settings(max_examples=60, deadline=None)
@given(lists, st.integers(1, 5))
def test_counts_equal_a_loop_over_pairs(rows, window):
    slow = np.zeros((6, 6))
    for row in rows:
        for first, second in itertools.combinations(range(len(row)), 2):
            if second - first <= window and row[first] != row[second]:
                slow[row[first], row[second]] += 1
                slow[row[second], row[first]] += 1
    graph = co_occurrence(Histories.from_lists(rows), 6, window)
    assert graph.dtype == np.float32
    assert np.array_equal(graph.toarray(), slow)


@settings(max_examples=40, deadline=None)
@given(lists, st.floats(0.05, 1), st.integers(0, 4), st.integers(0, 99))
def test_smoothing_equals_the_formula(rows, alpha, steps, seed):
    graph = co_occurrence(Histories.from_lists(rows), 6)
    vectors = np.random.default_rng(seed).normal(size=(6, 3)).astype(np.float32)
    counts = graph.toarray().astype(np.float64)
    degrees = counts.sum(axis=1)
    spread = np.zeros((6, 6))
    for i, j in itertools.product(range(6), repeat=2):
        if counts[i, j]:
            spread[i, j] = counts[i, j] / np.sqrt(degrees[i] * degrees[j])
    spread[degrees == 0, degrees == 0] = 1  # nobody to learn from
    states = [vectors.astype(np.float64)]
    for _ in range(steps):
        states.append((1 - alpha) * spread @ states[-1] + alpha * states[0])
    weights = np.array([alpha * (1 - alpha) ** k for k in range(steps + 1)])
    expected = sum(w * s for w, s in zip(weights / weights.sum(), states, strict=True))
    np.testing.assert_allclose(smooth(vectors, graph, alpha, steps), expected, atol=1e-5)


def test_items_without_an_edge_stay_as_they_were():
    graph = co_occurrence(Histories.from_lists([[0, 1, 0, 1]]), 4)
    vectors = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    found = smooth(vectors, graph)
    assert np.array_equal(found[2:], vectors[2:])
    assert np.linalg.norm(found[0] - found[1]) < 0.8 * np.linalg.norm(vectors[0] - vectors[1])


def test_alpha_one_and_no_steps_leave_vectors_alone():
    graph = co_occurrence(Histories.from_lists([[0, 1, 2]]), 3)
    vectors = np.eye(3, dtype=np.float32)
    np.testing.assert_allclose(smooth(vectors, graph, alpha=1.0), vectors, atol=1e-7)
    np.testing.assert_allclose(smooth(vectors, graph, steps=0), vectors, atol=1e-7)


def test_no_held_out_row_enters():
    train = [[user % 5, (user + 1) % 5] for user in range(8)]
    rows = [(user, item, time) for user, row in enumerate(train) for time, item in enumerate([*row, 5, 6])]
    other = [(user, 7 if item == 6 else item, time) for user, item, time in rows]
    graphs = []
    for table in (rows, other):
        data = from_frames(pd.DataFrame(table, columns=["user", "item", "timestamp"]))
        split = leave_one_out(data)
        graph = co_occurrence(split.train, split.num_items)
        held_out = [data.catalogue.index()[item] for item in ("5", "6", "7") if item in data.catalogue.index()]
        assert graph.nnz > 0
        assert graph[held_out].nnz == 0
        whole = co_occurrence(split.reveal("test").histories, split.num_items)
        assert whole[held_out].nnz > 0  # the check can fail
        keep = [data.catalogue.index()[str(item)] for item in range(5)]
        graphs.append(graph[keep][:, keep].toarray())
    assert np.array_equal(*graphs)


def test_bad_input_is_refused():
    vectors = np.eye(3, dtype=np.float32)
    graph = co_occurrence(Histories.from_lists([[0, 1, 2]]), 3)
    with pytest.raises(DataError, match="item 9"):
        co_occurrence(Histories.from_lists([[0, 9]]), 3)
    with pytest.raises(DataError, match="item -1"):
        co_occurrence(Histories.from_lists([[0, -1]]), 3)
    with pytest.raises(ConfigError, match="window"):
        co_occurrence(Histories.from_lists([[0, 1]]), 3, window=0)
    with pytest.raises(DataError, match="does not fit 2 vectors"):
        smooth(vectors[:2], graph)
    with pytest.raises(DataError, match="none below 0"):
        smooth(vectors, -graph)
    with pytest.raises(DataError, match="direction"):
        smooth(vectors, csr_array(np.triu(graph.toarray())))
    with pytest.raises(DataError, match="vector 0 of 3 holds nan"):
        smooth(np.full((3, 3), np.nan, np.float32), graph)
    for wrong in ({"alpha": 0.0}, {"alpha": 1.5}, {"steps": -1}):
        with pytest.raises(ConfigError, match="alpha"):
            smooth(vectors, graph, **wrong)


def test_nobody_bought_anything():
    graph = co_occurrence(Histories.from_lists([]), 3)
    assert graph.shape == (3, 3)
    assert np.array_equal(smooth(np.eye(3, dtype=np.float32), graph), np.eye(3, dtype=np.float32))
