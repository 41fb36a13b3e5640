"""Even clusters: shares under prices, and skewed data on which the centres of plain k-means are used unevenly."""

from __future__ import annotations

import numpy as np
import pytest

from agentrec.core.errors import ConfigError
from agentrec.core.types import FloatArray
from agentrec.semantic_ids.balance import balanced_codes
from agentrec.semantic_ids.health import levels, relative_error
from agentrec.semantic_ids.kmeans import nearest
from agentrec.semantic_ids.rq_kmeans import Config, RQKMeans


def skewed() -> FloatArray:
    """A dense crowd of 1,800 and a wide field of 200: centres of k-means go where the distances are, to the field."""
    rng = np.random.default_rng(0)
    return np.concatenate([0.5 * rng.normal(size=(1800, 4)), 2 * rng.normal(size=(200, 4))]).astype(np.float32)


def test_every_centre_gets_its_share() -> None:
    points = skewed()
    centres = points[::125]
    even = np.bincount(balanced_codes(points, centres, 20.0), minlength=len(centres))
    plain = np.bincount(nearest(points, centres), minlength=len(centres))
    assert even.std() < plain.std() / 3


def test_without_prices_or_need_points_stay_with_their_nearest_centre() -> None:
    points = skewed()
    assert np.array_equal(balanced_codes(points, points[::125], 0.0), nearest(points, points[::125]))
    centres = np.eye(4, dtype=np.float32)
    points = np.repeat(centres, 5, axis=0) + 0.01
    assert np.array_equal(balanced_codes(points, centres, 5.0), nearest(points, centres))


def test_balance_evens_out_skewed_codes_at_the_price_of_error() -> None:
    points = skewed()
    found = {}
    for balance in (0.0, 20.0):
        config = Config(num_levels=1, codebook_size=32, balance=balance, normalise_residuals=False, joint=False)
        quantiser = RQKMeans(config).fit(points)
        codes = quantiser.encode(points)
        found[balance] = (levels(codes, [32])[0]["perplexity"], relative_error(points, quantiser.decode(codes)))
    assert found[20.0][0] > 1.5 * found[0.0][0]
    assert found[0.0][1] < found[20.0][1] < 0.7


def test_a_price_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="'balance' is -1"):
        Config(balance=-1)
