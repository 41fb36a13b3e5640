import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.metrics.diversity import coverage, exposure, gini

lists = st.builds(
    lambda seed, users, k, n: (np.random.default_rng(seed).integers(-1, n, (users, k)), n),
    st.integers(0, 10_000),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(1, 9),
)


@settings(deadline=None, max_examples=80)
@given(lists)
def test_both_equal_their_definitions(case):
    items, n = case
    counts = [sum(int(item == shown) for shown in items.ravel()) for item in range(n)]
    assert exposure(items, n).tolist() == counts
    assert coverage(items, n) == pytest.approx(sum(count > 0 for count in counts) / n)
    # Half the mean absolute difference between all pairs, relative to the mean.
    differences = sum(abs(first - second) for first in counts for second in counts)
    expected = differences / (2 * n * sum(counts)) if sum(counts) else 0.0
    assert gini(items, n) == pytest.approx(expected)


def test_even_exposure_is_zero_and_one_item_for_all_is_nearly_one():
    assert gini(np.array([[0, 1], [2, 3]]), 4) == 0.0
    assert gini(np.zeros((50, 1), int), 100) == pytest.approx(0.99)


def test_an_item_out_of_range_is_refused():
    with pytest.raises(ValueError, match="item 4 is unknown among 4 items; expected 0 to 3"):
        coverage(np.array([[4]]), 4)
