"""The k-means parts against slow references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.semantic_ids.kmeans import directions, distinct_rows, means, nearest, spherical_centres, starts


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 5), st.integers(0, 10_000))
def test_nearest_and_means_equal_slow_references(size: int, codes: int, dimension: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(-3, 4, size=(size, dimension)).astype(np.float32)
    centres = rng.integers(-3, 4, size=(codes, dimension)).astype(np.float32)
    found = nearest(points, centres)
    slow = [min(range(codes), key=lambda code: float(((row - centres[code]) ** 2).sum())) for row in points]
    assert found.tolist() == slow
    expected = [
        points[found == code].mean(axis=0) if (found == code).any() else np.zeros(dimension) for code in range(codes)
    ]
    np.testing.assert_allclose(means(points, found, codes), expected, atol=1e-6)
    assert distinct_rows(points, 1000) == len({tuple(row) for row in points.tolist()})
    assert distinct_rows(points, 1) == 1


def test_directions_leaves_short_rows_at_zero() -> None:
    rows = np.array([[3, 4], [1e-4, 0], [0, 0]], np.float32)
    np.testing.assert_allclose(directions(rows, 1e-3), [[0.6, 0.8], [0, 0], [0, 0]], atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_spherical_centres_find_planted_directions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    planted = np.linalg.qr(rng.normal(size=(10, 10)))[0][:6]
    which = rng.integers(6, size=300)
    points = directions((planted[which] + 0.05 * rng.normal(size=(300, 10))).astype(np.float32), 0.0)
    centres = spherical_centres(points, 6, max_iter=50, seed=seed)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)
    assert ((planted @ centres.T).max(axis=1) > 0.99).all()


def test_near_ties_are_decided_alike_whatever_lies_beside_them() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(64, 48)).astype(np.float32)
    between = ((centres[:32] + centres[32:]) / 2).astype(np.float32)  # as near to one centre as to another
    exact = ((between[:, None].astype(np.float64) - centres.astype(np.float64)) ** 2).sum(axis=2).argmin(axis=1)
    whole = nearest(between, centres)
    assert np.array_equal(whole, exact)
    assert [int(nearest(row[None], centres)[0]) for row in between] == whole.tolist()


def test_starts_are_chosen_among_a_sample_but_never_too_few() -> None:
    crowd = np.concatenate([np.zeros((5000, 2)), np.arange(8)[:, None] * np.ones((8, 2))]).astype(np.float32)
    assert len(np.unique(starts(crowd, 8, seed=0), axis=0)) == 8
