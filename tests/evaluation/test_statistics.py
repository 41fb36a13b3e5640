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
    paired_p_value,
    resampled_means,
    seed_means,
)


def one_seed(table):
    """Columns of a (U, M) table as one system each, measured once."""
    return list(np.asarray(table, np.float64).T[:, None, :])


def seeded(rng, *, units=60, seeds=8, between=0.3):
    """A system whose true mean is 0: every seed is off by its own luck, every unit by its own nature and by noise."""
    luck, nature = between * rng.normal(size=(seeds, 1)), rng.normal(size=units)
    return luck + 0.5 * nature + 0.5 * rng.normal(size=(seeds, units))


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    samples = np.random.default_rng(0).exponential(size=(100, 1000))  # 100 users, 1000 independent experiments
    found = bootstrap_intervals(one_seed(samples), resamples=400, confidence=0.9, seed=1)
    covered = np.mean((found.low <= 1.0) & (found.high >= 1.0))
    assert 0.85 < covered < 0.93


def test_it_agrees_with_scipy():
    values = np.random.default_rng(1).gamma(2.0, size=(300, 2))
    ours = bootstrap_intervals(one_seed(values), resamples=20_000, seed=3)
    for column in range(2):
        theirs = stats.bootstrap(
            (values[:, column],), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(4)
        ).confidence_interval
        np.testing.assert_allclose([ours.low[column], ours.high[column]], theirs, atol=0.01)
    np.testing.assert_allclose(ours.mean, values.mean(axis=0))


def test_resamples_are_means_of_drawn_units_shared_by_all_columns():
    values = np.random.default_rng(2).random((40, 1))
    means = resampled_means(one_seed(np.hstack([values, 2 * values, np.ones_like(values)])), resamples=50, seed=5)
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0])
    np.testing.assert_allclose(means[:, 2], 1.0)
    assert means[:, 0].std() == pytest.approx(values.std() / np.sqrt(40), rel=0.3)


def test_draws_depend_neither_on_chunks_nor_on_what_else_is_drawn(monkeypatch):
    rng = np.random.default_rng(3)
    columns = [rng.random((3, 30)), rng.random((1, 30)), rng.random((3, 30))]
    whole = resampled_means(columns, resamples=20, seed=1)
    monkeypatch.setattr("agentrec.evaluation.statistics.CHUNK", 100)
    np.testing.assert_allclose(resampled_means(columns, resamples=20, seed=1), whole)
    alone = resampled_means(columns[2:], resamples=20, seed=1)
    np.testing.assert_allclose(alone[:, 0], whole[:, 2])


def test_many_units_take_little_time():
    values = np.random.default_rng(4).random((22_363, 16))
    start = time.perf_counter()
    bootstrap_intervals(one_seed(values), resamples=1000)
    assert time.perf_counter() - start < 20  # about 1 s alone; the margin is for a busy machine


def test_an_interval_over_seeds_covers_the_truth_where_one_over_units_alone_does_not():
    rng = np.random.default_rng(5)
    crossed, alone, widths = [], [], []
    for _ in range(250):
        values = seeded(rng)
        both = bootstrap_intervals([values], resamples=200, seed=1)
        units = bootstrap_intervals([values.mean(axis=0, keepdims=True)], resamples=200, seed=1)
        assert both.mean == pytest.approx(units.mean)
        crossed.append(both.low[0] <= 0 <= both.high[0])
        alone.append(units.low[0] <= 0 <= units.high[0])
        widths.append((both.high[0] - both.low[0]) / (units.high[0] - units.low[0]))
    assert np.mean(widths) > 1.3
    assert 0.89 < np.mean(crossed) < 0.985  # said: 0.95
    assert np.mean(alone) < 0.85


def test_seeds_of_a_simulation_are_not_drawn():
    rng = np.random.default_rng(6)
    values = seeded(rng, seeds=4, between=1.0)
    nested = bootstrap_intervals([values], nested=True, resamples=300, seed=2)
    averaged = bootstrap_intervals([values.mean(axis=0, keepdims=True)], resamples=300, seed=2)
    np.testing.assert_allclose(np.array(nested), np.array(averaged))
    crossed = bootstrap_intervals([values], resamples=300, seed=2)
    assert crossed.high[0] - crossed.low[0] > 1.5 * (nested.high[0] - nested.low[0])


def test_seeds_of_all_systems_are_drawn_together():
    values = seeded(np.random.default_rng(7))
    means = resampled_means([values, values + 1.0], resamples=50, seed=1)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 1.0)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 12), st.integers(0, 1000), st.booleans())
def test_resampled_means_equal_a_slow_reference(num_seeds, num_units, seed, gaps):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(num_seeds, num_units))
    if gaps:
        values[rng.random(values.shape) < 0.3] = np.nan
    found = resampled_means([values], resamples=5, seed=seed)[:, 0]
    # The same draws, read off from columns that mark one seed and one unit each.
    marks = [np.full((num_seeds, num_units), 0.0) for _ in range(num_seeds * num_units)]
    for place, mark in enumerate(marks):
        mark[place // num_units, place % num_units] = 1.0
    weights = resampled_means(marks, resamples=5, seed=seed).reshape(5, num_seeds, num_units)
    for row in range(5):
        expected = 0.0
        for number in range(num_seeds):
            total = weights[row, number].sum()
            known = ~np.isnan(values[number])
            kept = weights[row, number][known].sum()
            if total > 0:
                mean = (weights[row, number][known] @ values[number][known]) / kept if kept > 1e-12 else np.nan
                expected += total * mean
        assert found[row] == pytest.approx(expected, nan_ok=True)


def test_units_without_a_value_are_left_out():
    rng = np.random.default_rng(8)
    values = rng.normal(size=200)
    gaps = values.copy()
    gaps[::2] = np.nan
    found = bootstrap_intervals([gaps[None], values[None, :]], seed=1)
    assert found.mean[0] == pytest.approx(values[1::2].mean())
    assert found.low[0] < found.mean[0] < found.high[0]
    assert found.high[0] - found.low[0] > 1.1 * (found.high[1] - found.low[1])  # half the units, a wider interval
    (paired,) = compare_paired([(gaps[None], np.zeros((1, 200)))], seed=1)
    (dense,) = compare_paired([(values[None, 1::2], np.zeros((1, 100)))], seed=1)
    assert (paired.difference, paired.p_value) == (pytest.approx(dense.difference), pytest.approx(dense.p_value))
    assert paired.deviation == pytest.approx(dense.deviation)


def test_what_has_no_value_anywhere_stays_undefined_and_harms_nobody():
    nothing, ones = np.full((1, 20), np.nan), np.ones((1, 20))
    found = bootstrap_intervals([nothing, ones])
    assert np.isnan([found.mean[0], found.low[0], found.high[0]]).all()
    assert (found.mean[1], found.low[1], found.high[1]) == (1.0, 1.0, 1.0)
    undefined, defined = compare_paired([(nothing, ones), (ones, 0 * ones)])
    assert (undefined.p_value, undefined.seeds_ahead) == (1.0, 0)
    assert np.isnan(undefined.difference)
    assert defined.p_value == 2.0**-19
    assert np.isnan(seed_means(np.full((2, 3), np.nan))).all()


def test_pairing_finds_what_unpaired_comparison_misses():
    rng = np.random.default_rng(5)
    easy = rng.normal(size=400)  # users differ much, recommenders little
    first, second = easy + 0.05 + 0.1 * rng.normal(size=400), easy + 0.1 * rng.normal(size=400)
    (paired,) = compare_paired([(first[None], second[None])])
    assert paired.p_value < 1e-6
    assert 0 < paired.low < 0.05 < paired.high + 0.02
    assert paired.difference == pytest.approx(first.mean() - second.mean())
    assert paired.deviation == pytest.approx((first - second).std(ddof=1))
    assert stats.ttest_ind(first, second).pvalue > 0.1
    unpaired = bootstrap_intervals([first[None], second[None]])
    assert paired.high - paired.low < (unpaired.high - unpaired.low).min() / 4


def test_a_side_measured_once_stands_against_every_seed_of_the_other():
    rng = np.random.default_rng(9)
    many, once = seeded(rng, seeds=5), rng.normal(size=(1, 60))
    one_sided, spelled_out = (compare_paired([(many, side)])[0] for side in (once, np.repeat(once, 5, axis=0)))
    assert one_sided == spelled_out
    (swapped,) = compare_paired([(once, many)])
    assert swapped.difference == pytest.approx(-one_sided.difference)
    assert swapped.low == pytest.approx(-one_sided.high, abs=0.02)
    assert swapped.seeds_ahead == 5 - one_sided.seeds_ahead


def test_seeds_ahead_are_counted_and_a_tie_speaks_for_nobody():
    zero = np.zeros((3, 4))
    shift = np.array([[0.3], [0.2], [0.0]]) + np.array([[0.01, -0.01, 0.02, -0.02]])
    assert [compare_paired([(zero + sign * shift, zero)])[0].seeds_ahead for sign in (1, -1)] == [2, 1]
    assert compare_paired([(zero, zero)])[0].seeds_ahead == 0
    apart = np.array([[0.3], [-0.1], [0.2]]) + zero
    assert [compare_paired([(sign * apart, zero)])[0].seeds_ahead for sign in (1, -1)] == [2, 1]


def test_p_values_of_equal_recommenders_are_uniform():
    differences = np.random.default_rng(6).normal(size=(800, 50))
    found = [paired_p_value(row) for row in differences]
    assert stats.kstest(found, "uniform").pvalue > 0.01
    np.testing.assert_allclose(found, stats.ttest_1samp(differences, 0.0, axis=1).pvalue)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([0.0] * 9, 1.0), ([0.5] * 3, 0.25), ([0.5] * 9, 2.0**-8), ([-0.5] * 9, 2.0**-8), ([0.1], 1.0), ([0.0], 1.0),
     ([], 1.0), ([0.5] * 2000, 0.0)],
)  # fmt: skip
def test_constant_differences_have_a_p_value_without_a_warning(differences, expected):
    assert paired_p_value(np.array(differences)) == expected


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
    pairs = [(rng.normal(0.2, size=(1, 100)), rng.normal(size=(1, 100))) for _ in range(3)]
    found = compare_paired(pairs)
    assert [row.holm for row in found] == holm([row.p_value for row in found]).tolist()
    assert all(row.holm >= row.p_value for row in found)
    assert compare_paired([]) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: bootstrap_intervals([]),
        lambda: bootstrap_intervals([np.zeros((1, 0))]),
        lambda: bootstrap_intervals([np.zeros((0, 4))]),
        lambda: bootstrap_intervals([np.zeros(4)]),
        lambda: bootstrap_intervals([np.zeros((1, 4)), np.zeros((1, 5))]),
        lambda: bootstrap_intervals([np.zeros((1, 4))], resamples=0),
        lambda: bootstrap_intervals([np.zeros((1, 4))], confidence=1.0),
        lambda: compare_paired([(np.zeros((1, 3)), np.zeros((1, 4)))]),
        lambda: compare_paired([(np.zeros(3), np.zeros(3))]),
    ],
)
def test_misuse_is_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()
