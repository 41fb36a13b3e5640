"""Ranked lists equal a stable sort."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.types import Histories
from agentrec.models.popularity import Popularity
from agentrec.models.ranking import recommend_by_scores, top_n

VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e-30, 3e38, -3e38, float("-inf")])


@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 15), st.data())
@settings(max_examples=80, deadline=None)
def test_top_n_is_a_stable_sort(users: int, items: int, n: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(VALUES, min_size=items, max_size=items), min_size=users, max_size=users))
    scores = np.array(rows, np.float32)
    found = top_n(scores, n)
    for row, listed, best in zip(scores, found.items, found.scores, strict=True):
        expected = [item for item in np.argsort(-row, kind="stable") if np.isfinite(row[item])][:n]
        assert listed.tolist() == expected + [-1] * (n - len(expected))
        assert np.array_equal(best[: len(expected)], row[expected])


def test_batches_and_seen_items_change_nothing_else() -> None:
    train = Histories.from_lists([[0, 1, 2], [2, 3], [2]])
    model = Popularity.fit(train, 5)
    whole = recommend_by_scores(model, train, 5)
    assert np.array_equal(whole.items, recommend_by_scores(model, train, 5, batch_size=1).items)
    assert whole.items[0].tolist() == [2, 0, 1, 3, 4]
    assert model.recommend(train, 5, exclude_seen=True).items.tolist() == [
        [3, 4, -1, -1, -1],
        [0, 1, 4, -1, -1],
        [0, 1, 3, 4, -1],
    ]
