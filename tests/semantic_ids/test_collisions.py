"""Collisions: every item becomes reachable, in item order, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agentrec.core.errors import DataError, UnknownNameError
from agentrec.semantic_ids.collisions import append_level, collision_rate, group_histogram, resolve

CODES = arrays.arrays(np.int64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.integers(0, 3))


@settings(max_examples=100, deadline=None)
@given(CODES)
def test_append_numbers_each_group_in_item_order(codes: np.ndarray) -> None:
    seen: dict[tuple[int, ...], int] = {}
    expected = []
    for row in map(tuple, codes.tolist()):
        expected.append([*row, seen.get(row, 0)])
        seen[row] = seen.get(row, 0) + 1
    found = append_level(codes)
    assert found.dtype == np.int64
    assert found.tolist() == expected
    assert len(np.unique(found, axis=0)) == len(codes)
    assert collision_rate(codes) == pytest.approx(1 - len(seen) / len(codes))
    sizes = list(seen.values())
    assert group_histogram(codes) == {size: sizes.count(size) for size in sorted(set(sizes))}


@settings(max_examples=50, deadline=None)
@given(CODES)
def test_resolve_leaves_distinct_codes_as_they_are(codes: np.ndarray) -> None:
    found = resolve(codes)
    assert collision_rate(found) == 0
    assert np.array_equal(found[:, : codes.shape[1]], codes)
    assert found.shape[1] - codes.shape[1] == (collision_rate(codes) > 0)
    assert np.array_equal(resolve(found), found)


def test_resolve_returns_codes_of_its_own() -> None:
    codes = np.array([[0], [1]])
    resolve(codes)[0, 0] = 7
    assert codes[0, 0] == 0


def test_misuse_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="those that exist are append, hash, keep, next_best, sinkhorn, zero_collision"):
        resolve(np.array([[0]]), "shuffle")
    for wrong in (np.zeros((0, 2), np.int64), np.zeros(3, np.int64)):
        with pytest.raises(DataError, match="codes have shape"):
            append_level(wrong)
