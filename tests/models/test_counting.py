"""Popularity and transitions: contract, exactness against loops, and the planted direction."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.types import Histories
from agentrec.models.popularity import Popularity
from agentrec.models.transitions import Config, Transitions
from agentrec.testing.recommenders import RecommenderTests


class TestPopularity(RecommenderTests):
    def make(self, train: Histories, num_items: int) -> Popularity:
        return Popularity.fit(train, num_items)


class TestTransitions(RecommenderTests):
    min_recall_at_1 = 0.95

    def make(self, train: Histories, num_items: int) -> Transitions:
        return Transitions.fit(train, num_items)


def slow_scores(train: list[list[int]], history: list[int], num_items: int, config: Config) -> np.ndarray:
    weights = np.zeros((num_items, num_items))
    for row in train:
        for i, first in enumerate(row):
            for distance in range(1, config.window + 1):
                if i + distance < len(row):
                    weights[first, row[i + distance]] += 1 / distance
    sums = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, sums**config.power, out=np.zeros_like(weights), where=sums > 0)
    scores = np.zeros(num_items)
    for age, item in enumerate(reversed(history[-config.recent :])):
        scores += weights[item] / (1 + age)
    return scores


SEQUENCES = st.lists(st.lists(st.integers(0, 6), max_size=9), min_size=1, max_size=8)


@given(SEQUENCES, st.lists(st.integers(0, 6), max_size=9), st.integers(1, 4), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_transitions_equal_the_loop(train: list, history: list, window: int, recent: int) -> None:
    config = Config(window=window, recent=recent)
    model = Transitions.fit(Histories.from_lists(train), 7, config)
    found = model.score(Histories.from_lists([history]))[0]
    assert np.allclose(found, slow_scores(train, history, 7, config), atol=1e-5)


def test_direction_is_what_counts() -> None:
    """Item 1 always follows item 0 and never precedes it: the reversed model must not find it."""
    forward = Histories.from_lists([[0, 1], [2, 0, 1], [3, 0, 1]])
    backward = Histories.from_lists([row[::-1].tolist() for row in forward])
    after_zero = Histories.from_lists([[0]])
    assert Transitions.fit(forward, 4).recommend(after_zero, 1).items.tolist() == [[1]]
    assert Transitions.fit(backward, 4).recommend(after_zero, 1).items.tolist() != [[1]]
