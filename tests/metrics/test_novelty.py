import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.types import Histories
from agentrec.metrics import lists
from agentrec.metrics.novelty import novelty, popularity_lift

quick = settings(deadline=None, max_examples=60)


@st.composite
def cases(draw):
    users, n, num_items = draw(st.integers(1, 7)), draw(st.integers(1, 6)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    items = rng.integers(-1, num_items, (users, n))
    histories = Histories.from_lists([rng.integers(0, num_items, rng.integers(0, 5)) for _ in range(users)])
    return items, histories, rng.integers(0, 4, num_items), draw(st.integers(1, 8))


def mean(values):
    return sum(values) / len(values) if values else math.nan


@quick
@given(cases())
def test_novelty_equals_its_definition(case):
    items, _, counts, k = case
    total = sum(counts) + len(counts)
    expected = [mean([-math.log2((counts[item] + 1) / total) for item in row[:k] if item >= 0]) for row in items]
    np.testing.assert_allclose(novelty(items, counts, k), expected, atol=1e-12)


@quick
@given(cases())
def test_popularity_lift_equals_its_definition(case):
    items, histories, counts, k = case
    expected = []
    for row, history in zip(items, histories, strict=True):
        usual = mean([counts[item] for item in history])
        shown = mean([counts[item] for item in row[:k] if item >= 0])
        expected.append(shown / usual - 1 if usual else math.nan)
    np.testing.assert_allclose(popularity_lift(items, histories, counts, k), expected, atol=1e-12)


def test_known_values():
    # Four items, none ever seen: each has probability 1/4, hence two bits.
    assert novelty(np.array([[0, 1, 2]]), np.zeros(4), 3).tolist() == [2.0]
    histories = Histories.from_lists([[0, 1], [1], []])
    lift = popularity_lift(np.array([[0, 0], [0, -1], [0, 1]]), histories, [9, 3], 2)
    np.testing.assert_allclose(lift, [0.5, 2.0, np.nan])


def test_the_most_popular_items_lift_popularity_and_rare_ones_are_novel():
    rng = np.random.default_rng(0)
    counts = np.sort(rng.zipf(1.5, 500).clip(max=10_000))[::-1]
    histories = Histories.from_lists([rng.integers(0, 500, 20) for _ in range(200)])
    popular, rare = np.tile(np.arange(10), (200, 1)), np.tile(np.arange(490, 500), (200, 1))
    own = np.stack(list(histories))
    assert popularity_lift(popular, histories, counts, 10).min() > 0
    assert popularity_lift(rare, histories, counts, 10).max() < 0
    np.testing.assert_allclose(popularity_lift(own, histories, counts, 20), 0.0, atol=1e-12)
    assert novelty(rare, counts, 10).min() > novelty(own, counts, 20).max() > novelty(popular, counts, 10).max()


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    items, counts = rng.integers(-1, 30, (50, 8)), rng.integers(0, 9, 30)
    whole = novelty(items, counts, 8)
    monkeypatch.setattr(lists.row_blocks, "__kwdefaults__", {"cells": 24})
    assert len(list(lists.list_blocks(items, 8, 30))) == 17
    np.testing.assert_array_equal(novelty(items, counts, 8), whole)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: novelty(np.zeros((1, 2), int), [-1.0, 2.0], 1), "expected training interactions per item"),
        (lambda: novelty(np.full((1, 2), 2), [1, 2], 1), "item 2 is unknown among 2 items"),
        (
            lambda: popularity_lift(np.zeros((2, 1), int), Histories.from_lists([[0]]), [1], 1),
            "there are 2 lists and 1 histories",
        ),
        (lambda: popularity_lift(np.zeros((1, 1), int), Histories.from_lists([[-1]]), [1], 1), "item -1 is unknown"),
    ],
)
def test_misuse_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
