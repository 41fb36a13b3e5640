import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.metrics.cost import Price, Tokens, energy_estimate, latency_percentiles, price_of_tokens


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.floats(0, 100))
def test_percentiles_interpolate_between_sorted_samples(samples, place):
    ordered, position = sorted(samples), place / 100 * (len(samples) - 1)
    low = int(position)
    high = min(low + 1, len(samples) - 1)
    expected = ordered[low] + (position - low) * (ordered[high] - ordered[low])
    assert latency_percentiles(samples, [place])[f"p{place:g}"] == pytest.approx(expected, abs=1e-9)


def test_slow_requests_move_the_high_percentiles_only():
    steady = np.full(1000, 0.1)
    slow = np.where(np.arange(1000) < 30, 5.0, steady)
    assert latency_percentiles(slow) == {"p50": 0.1, "p90": 0.1, "p95": 0.1, "p99": 5.0}


def test_energy_records_what_it_assumes():
    found = energy_estimate(7200, 65, assumption="rated power of the processor")
    assert found._asdict() == {
        "watt_hours": 130.0,
        "seconds": 7200.0,
        "watts": 65.0,
        "assumption": "rated power of the processor",
    }


def test_money_adds_up_over_models_and_cached_tokens_have_their_price():
    used = {"big": Tokens(1_000_000, 100_000, cached=400_000), "small": Tokens(500_000, 0, cached=500_000)}
    prices = {"big": Price(3.0, 15.0, cached=0.3), "small": Price(0.2, 1.0), "unused": Price(9.0, 9.0)}
    assert price_of_tokens(used, prices) == pytest.approx(0.6 * 3.0 + 0.4 * 0.3 + 0.1 * 15.0 + 0.5 * 0.2)
    assert price_of_tokens({}, {}) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: latency_percentiles([]), "there are 0 samples"),
        (lambda: latency_percentiles([0.1, -0.1]), "all of 0 or more"),
        (lambda: energy_estimate(-1, 5, assumption="x"), "-1 seconds"),
        (lambda: energy_estimate(1, 5, assumption=" "), "the assumption is empty"),
        (lambda: price_of_tokens({"a": Tokens(1, 1)}, {"b": Price(1, 1)}), "has no 'a', only b; add its price"),
        (lambda: price_of_tokens({"a": Tokens(1, 1, cached=2)}, {"a": Price(1, 1)}), "cached ones among those read"),
    ],
)
def test_misuse_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
