"""The bank of forecasters: past forecasts see only the past, each kind finds its own series, and weights follow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.agents.inventory.forecasts import KINDS, SEASONS, WINDOWS, Config, bank, forecast, past_errors

CONFIG = Config()
RNG = np.random.default_rng(0)


def weight_of(kind: str, demand: np.ndarray) -> float:
    weights = forecast(demand[None], 4, CONFIG).weights[0]
    return float(weights[[place for place, name in enumerate(KINDS) if name == kind]].sum())


@given(st.integers(1, 40), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_every_forecaster_keeps_a_constant(length, ahead):
    made = np.full(length, 7.0) @ bank(length, tuple(range(1, ahead + 1)), 0.9).reshape(length, -1)
    # Waves are shrunk a little, so that the few periods of a short series leave some of the constant to them.
    kept = made.reshape(len(KINDS), ahead)[: len(KINDS) - len(SEASONS)]
    assert kept == pytest.approx(np.full(kept.shape, 7.0))


def test_forecasts_are_what_they_are_called():
    demand = RNG.normal(100, 20, 30)
    means = forecast(demand[None], 3, CONFIG).means[0]
    assert means[0] == pytest.approx(np.full(3, demand.mean()))
    for place, window in enumerate(WINDOWS, 1):
        assert means[place] == pytest.approx(np.full(3, demand[-window:].mean()))
    line = 50 + 3.0 * np.arange(40)
    slope, intercept = np.polyfit(np.arange(40), line, 1)
    trend = KINDS.index("trend")
    step = forecast(line[None], 1, CONFIG).means[0, trend, 0]
    assert intercept + slope * 38 < step < intercept + slope * 40  # damped and shrunk, so a little below the line


@given(st.integers(5, 25), st.sampled_from([1, 2, 4]), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_past_errors_are_those_of_forecasts_made_then(length, step, seed):
    demand = np.random.default_rng(seed).poisson(20, (2, length)).astype(float)
    errors = past_errors(demand, step, CONFIG.damping)
    assert errors.shape == (2, len(KINDS), max(length - step - 1, 0))
    for place in range(errors.shape[2]):
        then = forecast(demand[:, : place + 2], step, CONFIG).means[:, :, -1]
        assert errors[:, :, place] == pytest.approx(then - demand[:, place + step + 1, None])


def test_weight_goes_to_what_forecasts_best():
    time = np.arange(60)
    wave = 100 + 40 * np.sin(2 * np.pi * time / 12) + RNG.normal(0, 8, 60)
    assert weight_of("season", wave) > 0.9
    assert weight_of("trend", 50 + 4 * time + RNG.normal(0, 8, 60)) > 0.8
    assert weight_of("mean", RNG.normal(100, 20, 60)) > 1.5 / len(KINDS)
    assert weight_of("season", RNG.normal(100, 20, 60)) < 0.2


def test_recent_means_take_over_after_a_change():
    steady = RNG.normal(100, 10, 30)
    changed = np.concatenate([steady, RNG.normal(200, 10, 8)])
    made = forecast(changed[None], 1, CONFIG)
    assert float((made.weights[0] * made.means[0, :, 0]).sum()) == pytest.approx(200, rel=0.06)
    assert weight_of("mean", changed) < 0.01


def test_forecasts_are_never_negative_and_weights_sum_to_one():
    falling = np.maximum(100.0 - 12 * np.arange(12), 0)[None]
    made = forecast(falling, 6, CONFIG)
    assert (made.means >= 0).all()
    assert made.weights.sum() == pytest.approx(1)
    assert (made.deviations > 0).all()
    alone = forecast(np.array([[3.0]]), 2, CONFIG)
    assert np.isfinite(alone.means).all()
