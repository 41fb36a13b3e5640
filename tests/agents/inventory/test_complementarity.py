"""The bound holds in simulated populations where everybody's two outcomes are known, and its limits cover it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from agentrec.agents.inventory.complementarity import complementarity_lower_bound
from agentrec.core.errors import DataError

OUTCOMES = st.lists(st.integers(-5, 5), min_size=2, max_size=30)


@given(OUTCOMES, OUTCOMES)
@settings(max_examples=100, deadline=None)
def test_the_estimate_is_the_largest_gap_of_distributions(alone, helped):
    bound = complementarity_lower_bound(alone, helped, resamples=20)
    grid = range(-6, 7)
    gaps = [np.mean(np.array(alone) <= t) - np.mean(np.array(helped) <= t) for t in grid]
    assert bound.estimate == pytest.approx(max(0.0, *gaps))
    assert 0 <= bound.certain <= bound.estimate
    assert 0 <= bound.low <= bound.estimate <= bound.high <= 1


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=2, max_size=40))
@settings(max_examples=100, deadline=None)
def test_it_never_exceeds_the_share_who_do_better(people):
    """With both outcomes of everybody known, whatever their dependence."""
    alone, helped = np.array(people).T
    bound = complementarity_lower_bound(alone, helped, resamples=1)
    assert bound.estimate <= (helped > alone).mean() + 1e-12


def test_it_is_sharp():
    """No better bound exists: some joint law of the same two distributions reaches it."""
    alone, helped = np.arange(100.0), np.arange(100.0) + 30
    bound = complementarity_lower_bound(alone, helped, resamples=1)
    assert bound.estimate == pytest.approx(0.3)
    # The seventy below 70 do as somebody did alone, the thirty best with help are those who were lowest alone.
    joint = np.sort(helped)[np.argsort(np.argsort((alone - 30) % 100))]
    assert (joint > alone).mean() == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("shift", "share", "truth"),
    [
        (0.0, 1.0, 0.0),
        (0.5, 1.0, 2 * norm.cdf(0.25) - 1),
        (-1.0, 1.0, 0.0),
        (2.0, 0.3, 0.3 * (2 * norm.cdf(1.0) - 1)),
    ],
)
def test_limits_cover_the_bound_of_the_population(shift, share, truth):
    """Outcomes are normal; a share of the people gains ``shift``. Limits of 90 %, at two sample sizes."""
    for people in (40, 150):
        rows = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            helped = rng.normal(size=people) + shift * (rng.random(people) < share)
            made = complementarity_lower_bound(
                rng.normal(size=people), helped, confidence=0.9, resamples=200, seed=seed
            )
            rows.append((made.low <= truth + 1e-9, made.high >= truth - 1e-9, made.certain <= truth + 1e-9))
        covered = np.mean([low and high for low, high, _ in rows])
        assert covered >= 0.9 - 3 * (0.9 * 0.1 / len(rows)) ** 0.5, (people, covered)
        assert np.mean([certain for *_, certain in rows]) >= 0.97, people


def test_a_large_effect_is_certain():
    rng = np.random.default_rng(0)
    made = complementarity_lower_bound(rng.normal(size=500), rng.normal(size=500) + 2)
    assert made.certain > 0.5
    assert made.low > made.certain
    assert made.at == pytest.approx(1.0, abs=0.4)


def test_wrong_outcomes_are_named():
    with pytest.raises(DataError, match="outcomes 'helped' are 1 values"):
        complementarity_lower_bound([1, 2], [3])
    with pytest.raises(DataError, match="outcomes 'alone' are 2 values, 1 no numbers"):
        complementarity_lower_bound([1, np.nan], [3, 4])
    with pytest.raises(ValueError, match=r"confidence is 1\.5"):
        complementarity_lower_bound([1, 2], [3, 4], confidence=1.5)
