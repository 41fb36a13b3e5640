import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.metrics.groups import history_length_groups, popularity_tiers

quick = settings(deadline=None, max_examples=80)


def slow_tier(counts, item):
    if counts[item] == 0:
        return "cold"
    more_popular = sum(count for count in counts if count > counts[item])
    total = sum(counts)
    return "head" if 10 * more_popular < 5 * total else "torso" if 10 * more_popular < 9 * total else "tail"


@quick
@given(st.lists(st.integers(0, 30), max_size=15))
def test_tiers_equal_their_definition(counts):
    assert popularity_tiers(counts).tolist() == [slow_tier(counts, item) for item in range(len(counts))]


@quick
@given(st.lists(st.integers(0, 30), min_size=1, max_size=15).filter(any))
def test_the_head_holds_half_of_all_interactions_and_is_the_smallest_such_set(counts):
    counts = np.array(counts)
    head = popularity_tiers(counts) == "head"
    assert 2 * counts[head].sum() >= counts.sum()
    least = counts[head].min()
    assert 2 * counts[counts > least].sum() < counts.sum()
    assert (counts[head].min() > counts[~head]).all()


def test_tiers_by_hand():
    assert popularity_tiers([50, 20, 20, 9, 1, 0]).tolist() == ["head", "torso", "torso", "tail", "tail", "cold"]
    assert popularity_tiers([3, 3, 3]).tolist() == ["head"] * 3  # equally popular items stay together
    assert popularity_tiers([0, 0]).tolist() == ["cold"] * 2
    assert popularity_tiers([6, 3, 1], shares=(0.1, 0.7)).tolist() == ["head", "torso", "tail"]
    assert popularity_tiers([4, 1]).dtype.kind == "U"


@quick
@given(st.lists(st.integers(0, 80), max_size=20), st.sets(st.integers(1, 60), max_size=5))
def test_every_length_lies_within_its_label(lengths, edges):
    labels = history_length_groups(lengths, edges=sorted(edges))
    for length, label in zip(lengths, labels.tolist(), strict=True):
        low, _, high = label.removesuffix("+").partition("-")
        assert int(low) <= length
        assert label.endswith("+") or length <= int(high or low)
        assert int(low) == max([0, *(edge for edge in edges if edge <= length)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: popularity_tiers([1, -1]), "expected training interactions per item"),
        (lambda: popularity_tiers([1], shares=(0.9, 0.5)), r"shares are \(0.9, 0.5\)"),
        (lambda: history_length_groups([-1]), "a length is -1"),
        (lambda: history_length_groups([1], edges=(5, 5)), r"edges are \[5, 5\]"),
        (lambda: history_length_groups([1], edges=(0, 5)), "expected ascending lengths above 0"),
    ],
)
def test_misuse_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
