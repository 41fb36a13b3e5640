"""Prefix purity against scikit-learn, slow counts and planted categories."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score

from agentrec.core.errors import DataError
from agentrec.semantic_ids.purity import adjusted_mutual_information, majority_share, prefix_purity

GROUPS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=2, max_size=60)


def numbered(values: list[int]) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


@settings(max_examples=80, deadline=None)
@given(GROUPS)
def test_mutual_information_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    first, second = (numbered(list(side)) for side in zip(*pairs, strict=True))
    found = adjusted_mutual_information(first, second)
    assert found == pytest.approx(adjusted_mutual_information(second, first))
    trivial = len(set(first)) in (1, len(first)) or len(set(second)) in (1, len(second))
    if not trivial:  # there the two differ by convention
        assert found == pytest.approx(adjusted_mutual_info_score(first, second), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(GROUPS)
def test_majority_is_counted(pairs: list[tuple[int, int]]) -> None:
    members: dict[int, Counter[int]] = {}
    for group, category in pairs:
        members.setdefault(group, Counter())[category] += 1
    slow = sum(counter.most_common(1)[0][1] for counter in members.values()) / len(pairs)
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    assert majority_share(first, second) == pytest.approx(slow)


def test_nothing_to_explain_is_zero_unless_both_are_the_same() -> None:
    alone, together, halves = np.arange(10), np.zeros(10, np.int64), np.arange(10) % 2
    assert adjusted_mutual_information(alone, halves) == pytest.approx(0, abs=1e-9)
    assert adjusted_mutual_information(together, halves) == pytest.approx(0, abs=1e-9)
    for same in (alone, together, halves):
        assert adjusted_mutual_information(same, same) == pytest.approx(1)


def test_codes_made_from_categories_are_pure() -> None:
    rng = np.random.default_rng(0)
    category, detail = rng.integers(0, 6, 600), rng.integers(0, 4, 600)
    found = prefix_purity(np.stack([category, detail], axis=1), [f"kind {value}" for value in category])
    assert found is not None
    first, second = found["prefixes"]
    assert (found["num_items"], found["num_categories"]) == (600, 6)
    assert first["majority"] == second["majority"] == 1
    assert first["mutual_information"] == pytest.approx(1)
    assert 0.5 < second["mutual_information"] < 1  # finer than the categories
    assert first["majority_chance"] < 0.3


def test_random_codes_are_at_chance() -> None:
    rng = np.random.default_rng(1)
    codes, category = rng.integers(0, 12, size=(3000, 3)), rng.zipf(1.6, 3000) % 20
    found = prefix_purity(codes, [str(value) for value in category])
    assert found is not None
    assert [row["length"] for row in found["prefixes"]] == [1, 2, 3]
    for row in found["prefixes"]:
        assert row["majority"] == pytest.approx(row["majority_chance"], abs=0.02)
        assert row["mutual_information"] == pytest.approx(0, abs=0.01)
    shares = [row["majority"] for row in found["prefixes"]]
    assert shares == sorted(shares)  # longer prefixes look purer, by chance alone
    assert shares[2] > shares[0] + 0.1


def test_items_without_a_category_do_not_count() -> None:
    codes = np.array([[0], [0], [1], [1], [1]])
    found = prefix_purity(codes, ["a", "a", "b", "", ""])
    assert found == prefix_purity(codes[:3], ["a", "a", "b"])
    assert prefix_purity(codes, [""] * 5) is None
    with pytest.raises(DataError, match="2 categories do not fit 5 rows"):
        prefix_purity(codes, ["a", "b"])


def test_a_seed_decides() -> None:
    rng = np.random.default_rng(2)
    codes, names = rng.integers(0, 9, size=(80, 1)), [str(value) for value in rng.integers(0, 3, 80)]
    assert prefix_purity(codes, names, seed=1) == prefix_purity(codes, names, seed=1)
    assert prefix_purity(codes, names, seed=1) != prefix_purity(codes, names, seed=2)
