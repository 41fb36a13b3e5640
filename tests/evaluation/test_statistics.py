import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agentrec.evaluation.statistics import (
    bootstrap_intervals,
    compare_paired,
    holm,
    paired_p_values,
    resampled_means,
)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    samples = rng.exponential(size=(100, 1000))  # 100 users, 1000 independent experiments
    found = bootstrap_intervals(samples, resamples=400, confidence=0.9, seed=1)
    covered = np.mean((found.low <= 1.0) & (found.high >= 1.0))
    assert 0.85 < covered < 0.93


def test_it_agrees_with_scipy():
    values = np.random.default_rng(1).gamma(2.0, size=(300, 2))
    ours = bootstrap_intervals(values, resamples=20_000, seed=3)
    for column in range(2):
        theirs = stats.bootstrap(
            (values[:, column],), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(4)
        ).confidence_interval
        np.testing.assert_allclose([ours.low[column], ours.high[column]], theirs, atol=0.01)
    np.testing.assert_array_equal(ours.mean, values.mean(axis=0))


def test_resamples_are_means_of_drawn_users_shared_by_all_columns():
    values = np.random.default_rng(2).random((40, 1))
    means = resampled_means(np.hstack([values, 2 * values, np.ones_like(values)]), resamples=50, seed=5)
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0])
    np.testing.assert_allclose(means[:, 2], 1.0)
    assert means[:, 0].std() == pytest.approx(values.std() / np.sqrt(40), rel=0.3)


def test_chunks_do_not_change_the_draws(monkeypatch):
    values = np.random.default_rng(3).random((30, 3))
    whole = resampled_means(values, resamples=20, seed=1)
    monkeypatch.setattr("agentrec.evaluation.statistics.CHUNK", 100)
    np.testing.assert_allclose(resampled_means(values, resamples=20, seed=1), whole)


def test_many_users_take_little_time():
    values = np.random.default_rng(4).random((22_363, 16))
    start = time.perf_counter()
    bootstrap_intervals(values, resamples=1000)
    assert time.perf_counter() - start < 10  # about 1 s alone; the margin is for a busy machine


def test_pairing_finds_what_unpaired_comparison_misses():
    rng = np.random.default_rng(5)
    easy = rng.normal(size=400)  # users differ much, recommenders little
    first, second = easy + 0.05 + 0.1 * rng.normal(size=400), easy + 0.1 * rng.normal(size=400)
    (paired,) = compare_paired([(first, second)])
    assert paired.p_value < 1e-6
    assert 0 < paired.low < 0.05 < paired.high + 0.02
    assert paired.difference == pytest.approx(first.mean() - second.mean())
    assert stats.ttest_ind(first, second).pvalue > 0.1
    unpaired = bootstrap_intervals(np.stack([first, second], axis=1))
    assert paired.high - paired.low < (unpaired.high - unpaired.low).min() / 4


def test_p_values_of_equal_recommenders_are_uniform():
    differences = np.random.default_rng(6).normal(size=(50, 2000))
    assert stats.kstest(paired_p_values(differences), "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("differences", "expected"), [([0.0] * 9, 1.0), ([0.5] * 3, 0.25), ([0.5] * 9, 2.0**-8), ([0.1], 1.0), ([0.0], 1.0)]
)
def test_constant_differences_have_a_p_value_without_a_warning(differences, expected):
    assert paired_p_values(np.array(differences)[:, None]).tolist() == [expected]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_equals_its_definition(p_values):
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    expected, largest = [0.0] * len(p_values), 0.0
    for step, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[index]))
        expected[index] = largest
    np.testing.assert_allclose(holm(p_values), expected)


def test_a_family_is_corrected_together():
    rng = np.random.default_rng(7)
    pairs = [(rng.normal(0.2, size=100), rng.normal(size=100)) for _ in range(3)]
    found = compare_paired(pairs)
    assert [row.holm for row in found] == holm([row.p_value for row in found]).tolist()
    assert all(row.holm >= row.p_value for row in found)
    assert compare_paired([]) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: bootstrap_intervals(np.zeros((0, 2))),
        lambda: bootstrap_intervals(np.zeros(4)),
        lambda: bootstrap_intervals(np.zeros((4, 1)), resamples=0),
        lambda: bootstrap_intervals(np.zeros((4, 1)), confidence=1.0),
        lambda: compare_paired([(np.zeros(3), np.zeros(4))]),
    ],
)
def test_misuse_is_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()
