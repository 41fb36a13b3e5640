import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agentrec.evaluation.power import _power, detectable_difference, power_note, users_needed

quick = settings(deadline=None, max_examples=40)
levels = {"alpha": st.sampled_from([0.01, 0.05, 0.1]), "power": st.sampled_from([0.5, 0.8, 0.9, 0.99])}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("effect", [0.01, 0.038, 0.2, 0.5, 1.0, 2.5])
@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.01, 0.9), (0.1, 0.5)])
def test_users_and_differences_equal_statsmodels(effect, alpha, power):
    peer = pytest.importorskip("statsmodels.stats.power").TTestPower()
    needed = users_needed(effect * 0.3, 0.3, alpha=alpha, power=power)
    assert peer.power(effect, needed, alpha) >= power
    assert needed == 2 or peer.power(effect, needed - 1, alpha) < power
    found = detectable_difference(0.3, needed, alpha=alpha, power=power)
    assert peer.power(found / 0.3, needed, alpha) == pytest.approx(power, abs=1e-9)  # its own solver is less exact


@quick
@given(effect=st.floats(0.02, 5), **levels)
def test_the_number_of_users_is_the_fewest_that_reach_the_power(effect, alpha, power):
    needed = users_needed(-effect, 1.0, alpha=alpha, power=power)
    assert _power(effect, needed, alpha) >= power
    assert needed == 2 or _power(effect, needed - 1, alpha) < power
    assert detectable_difference(1.0, needed, alpha=alpha, power=power) <= effect * (1 + 1e-9)


@quick
@given(users=st.integers(2, 10_000_000), deviation=st.floats(1e-6, 1e3), **levels)
def test_a_detectable_difference_is_found_with_exactly_that_power(users, deviation, alpha, power):
    found = detectable_difference(deviation, users, alpha=alpha, power=power)
    assert _power(found / deviation, users, alpha) == pytest.approx(power, abs=1e-6)


def test_simulated_experiments_find_the_difference_as_often_as_promised():
    needed = users_needed(0.4, 1.0)
    rng = np.random.default_rng(0)
    found = stats.ttest_1samp(rng.normal(0.4, 1.0, (4000, needed)), 0.0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / 4000) + 0.01)


def test_many_users_follow_the_normal_approximation():
    expected = ((stats.norm.isf(0.025) + stats.norm.isf(0.2)) / 1e-4) ** 2
    assert users_needed(1e-4, 1.0) == pytest.approx(expected, rel=1e-4)
    assert users_needed(1.0, 1e-300) == 2


def test_the_same_difference_for_everybody_is_left_to_the_sign_test():
    # 2 ** (1 - 6) = 0.03125 is the first below 0.05.
    assert users_needed(0.1, 0.0) == 6
    assert users_needed(0.1, 0.0, alpha=0.5) == 2
    assert detectable_difference(0.0, 10) == 0.0


def test_the_note_of_too_few_users():
    assert power_note(0.0031, 0.0812, 2000) == (
        "this difference of +0.0031 needs about 5,400 users to be found in 4 of 5 samples; "
        "there are 2,000, with whom a difference of 0.0051 would be found as often"
    )


def test_the_note_of_enough_users_and_of_another_power():
    assert power_note(-0.02, 0.3, 22_363, power=0.9) == (
        "this difference of -0.02 needs about 2,400 users to be found in 9 of 10 samples; there are 22,363, enough"
    )


def test_the_note_of_no_difference_says_that_no_number_suffices():
    note = power_note(0.0, 0.3, 2000)
    assert note.startswith("no number of users finds a difference of 0; with the 2,000 there are, one of 0.019 would")
    assert "0 would be found in 4 of 5 samples" in power_note(0.0, 0.0, 50)


def test_rounding_never_contradicts_the_verdict():
    needed = users_needed(0.0031, 0.0812)
    assert f"about {round(needed, -2):,} users" in power_note(0.0031, 0.0812, 2000)
    for users in (needed - 1, needed, needed + 1):
        note = power_note(0.0031, 0.0812, users)
        assert note.endswith("enough") == (users >= needed)
        shown = int(note.partition("needs ")[2].removeprefix("about ").split()[0].replace(",", ""))
        assert (shown <= users) == (users >= needed)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: users_needed(0.0, 1.0), "no number of users"),
        (lambda: users_needed(math.nan, 1.0), "the difference is nan"),
        (lambda: users_needed(0.1, -1.0), "standard deviation -1.0"),
        (lambda: users_needed(0.1, 1.0, alpha=0.0), "alpha is 0.0"),
        (lambda: users_needed(0.1, 1.0, power=1.0), "power 1.0"),
        (lambda: users_needed(1e-12, 1.0), "too small"),
        (lambda: detectable_difference(1.0, 1), "there are 1 users; expected 2 or more"),
        (lambda: power_note(0.1, math.inf, 100), "standard deviation inf"),
    ],
)
def test_values_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
