import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from agentrec.core.types import Histories
from agentrec.metrics import lists
from agentrec.metrics.calibration import calibration_error


def memberships_of(rng, num_items, num_categories):
    """Shares of one or several categories; about one item in four has none."""
    raw = rng.integers(0, 3, (num_items, num_categories)) * (rng.random((num_items, 1)) > 0.25)
    return raw / np.maximum(raw.sum(axis=1, keepdims=True), 1)


@st.composite
def cases(draw):
    users, n, num_items = draw(st.integers(1, 7)), draw(st.integers(1, 6)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    items = rng.integers(-1, num_items, (users, n))
    histories = Histories.from_lists([rng.integers(0, num_items, rng.integers(0, 5)) for _ in range(users)])
    memberships = memberships_of(rng, num_items, draw(st.integers(1, 4)))
    return items, histories, memberships, draw(st.integers(1, 8)), draw(st.sampled_from([0.01, 0.3, 1.0]))


def slow_mix(items, memberships):
    rows = [memberships[item] for item in items if item >= 0 and memberships[item].sum() > 0]
    return sum(rows) / len(rows) if rows else None


def slow_error(row, history, memberships, alpha):
    p, q = slow_mix(history, memberships), slow_mix(row, memberships)
    if p is None or q is None:
        return math.nan
    terms = zip(p, q, strict=True)
    return sum(a * math.log(a / ((1 - alpha) * b + alpha * a)) for a, b in terms if a > 0)


@settings(deadline=None, max_examples=80)
@given(cases())
def test_the_error_equals_its_definition_for_dense_and_sparse_memberships(case):
    items, histories, memberships, k, alpha = case
    pairs = zip(items[:, :k], histories, strict=True)
    expected = [slow_error(row, history, memberships, alpha) for row, history in pairs]
    for form in (memberships, sparse.csr_array(memberships), sparse.coo_matrix(memberships)):
        np.testing.assert_allclose(calibration_error(items, histories, form, k, alpha), expected, atol=1e-12)


def test_a_list_with_the_history_s_mix_is_calibrated_and_one_category_is_not():
    rng = np.random.default_rng(0)
    memberships = np.repeat(np.eye(4), 25, axis=0)  # items 0..24 are of category 0, and so on
    mix = rng.permuted(np.tile([0] * 5 + [1] * 3 + [2] * 2, (60, 1)), axis=1)
    histories = Histories.from_lists(list(mix * 25 + rng.integers(0, 25, mix.shape)))
    alike = rng.permuted(mix, axis=1) * 25 + rng.integers(0, 25, mix.shape)
    one, foreign = rng.integers(0, 25, mix.shape), rng.integers(75, 100, mix.shape)
    np.testing.assert_allclose(calibration_error(alike, histories, memberships, 10), 0.0, atol=1e-12)
    assert calibration_error(one, histories, memberships, 10).min() > 1.0
    np.testing.assert_allclose(calibration_error(foreign, histories, memberships, 10), -math.log(0.01))


def test_only_the_first_places_count_and_items_without_category_are_left_out():
    histories = Histories.from_lists([[0, 2], [2]])
    memberships = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert calibration_error(np.array([[0, 1], [0, 1]]), histories, memberships, 1)[0] == 0.0
    found = calibration_error(np.array([[0, 2], [0, 1]]), histories, memberships, 2)
    np.testing.assert_array_equal(found, [0.0, np.nan])


def test_blocks_change_nothing_and_neither_does_the_caller_s_matrix(monkeypatch):
    rng = np.random.default_rng(1)
    items = rng.integers(-1, 30, (50, 8))
    histories = Histories.from_lists([rng.integers(0, 30, rng.integers(0, 9)) for _ in range(50)])
    memberships = sparse.csr_array(memberships_of(rng, 30, 5))
    memberships.data[memberships.indptr[np.argmax(np.diff(memberships.indptr) == 1)]] = 0.0  # a stored zero
    before = memberships.copy()
    whole = calibration_error(items, histories, memberships, 8)
    monkeypatch.setattr(lists.row_blocks, "__kwdefaults__", {"cells": 24})
    np.testing.assert_array_equal(calibration_error(items, histories, memberships, 8), whole)
    assert 0.0 in memberships.data
    np.testing.assert_array_equal(memberships.data, before.data)
    np.testing.assert_array_equal(memberships.indices, before.indices)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"memberships": np.array([[1.0, 1.0]])}, "row 0 adds up to 2; expected rows that add up to 1"),
        ({"memberships": np.array([[2.0, -1.0]])}, "one is negative"),
        ({"memberships": np.array([[np.nan, 1.0]])}, "row 0 adds up to nan"),
        ({"histories": Histories.from_lists([])}, "there are 1 lists and 0 histories"),
        ({"histories": Histories.from_lists([[3]])}, "item 3 is unknown among 1 items"),
        ({"items": np.array([[1]])}, "item 1 is unknown"),
    ],
)
def test_misuse_is_refused(change, message):
    usual = {"items": np.array([[0]]), "histories": Histories.from_lists([[0]]), "memberships": np.ones((1, 1)), "k": 1}
    with pytest.raises(ValueError, match=message):
        calibration_error(**{**usual, **change})
