"""Withheld items: no row of theirs is left to learn from, all else stays, and their buyers are the ones asked."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, DataError
from agentrec.data.shop import Shop, ShopConfig
from agentrec.data.split import PARTS, leave_one_out
from agentrec.data.table import from_frames
from agentrec.evaluation.withhold import draw_items, first_buyers, withhold

rows_of_users = st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=8), min_size=1, max_size=8)


def dataset(users):
    rows = [(user, f"i{item}", place) for user, row in enumerate(users) for place, item in enumerate(row)]
    catalogue = pd.DataFrame(
        {"item": [f"i{item}" for item in range(9)], "title": [f"item {item}" for item in range(9)]}
    )
    return from_frames(pd.DataFrame(rows, columns=["user", "item", "order"]), catalogue, duplicates="drop")


def as_dict(histories):
    return {int(user): row.tolist() for user, row in zip(histories.users, histories, strict=True)}


@settings(max_examples=80, deadline=None)
@given(rows_of_users, st.sets(st.integers(0, 8), max_size=8))
def test_it_equals_dropping_rows_one_by_one(users, gone):
    data = dataset(users)
    items = np.array(sorted(gone), np.int64)
    try:
        whole = leave_one_out(data)
    except DataError:
        return
    reduced = withhold(data, whole, items)

    def left(history):
        return [item for item in history if item not in gone]

    expected = {user: left(row) for user, row in as_dict(whole.train).items()}
    assert as_dict(reduced.train) == {user: row for user, row in expected.items() if row}
    for part in PARTS:
        held = whole.reveal(part)
        users_rows = zip(as_dict(held.histories).items(), held.targets.tolist(), strict=True)
        pairs = [(user, left(row), target) for (user, row), target in users_rows]
        kept = [(user, row, target) for user, row, target in pairs if row and target not in gone]
        asked = [(user, row, target) for user, row, target in pairs if row and target in gone]
        for expected, found in ((kept, reduced.reveal(part)), (asked, first_buyers(whole, part, items))):
            assert list(as_dict(found.histories).items()) == [(user, row) for user, row, _ in expected]
            assert found.targets.tolist() == [target for _, _, target in expected]
            assert found.part == part


def test_no_row_of_a_withheld_item_is_left_anywhere():
    data = Shop.generate(ShopConfig(num_users=200, num_items=60)).dataset
    whole = leave_one_out(data)
    items = draw_items(60, 0.2, 0)
    reduced = withhold(data, whole, items)
    assert np.isin(whole.train.items, items).any()
    parts = [part for name in PARTS for part in (reduced.reveal(name).histories.items, reduced.reveal(name).targets)]
    asked = [first_buyers(whole, part, items) for part in PARTS]
    for array in (reduced.train.items, *parts, *(one.histories.items for one in asked)):
        assert not np.isin(array, items).any()
    assert all(np.isin(one.targets, items).all() and len(one) for one in asked)
    assert reduced.fingerprint != whole.fingerprint
    assert reduced.num_items == whole.num_items
    notes = reduced.summary()
    assert notes["withheld_items"] == 12
    assert notes["withheld_rows"] == int(np.isin(whole.train.items, items).sum())
    assert "12 items withheld" in repr(reduced)


def test_training_does_not_know_what_the_withheld_rows_said():
    """Two shops that differ in withheld rows alone give one training set."""
    users = [[0, 1, 2, 3, 4], [3, 2, 1, 0, 5]]
    others = [[0, 8, 1, 2, 3, 4], [3, 2, 8, 1, 0, 5]]
    items = np.array([8])
    first, second = (withhold(data, leave_one_out(data), items) for data in map(dataset, (users, others)))
    assert as_dict(first.train) == as_dict(second.train)


def test_items_are_drawn_by_seed_and_share():
    assert draw_items(1000, 0.05, 0).tolist() == draw_items(1000, 0.05, 0).tolist()
    assert len(np.unique(draw_items(1000, 0.05, 0))) == 50
    assert draw_items(1000, 0.05, 0).tolist() != draw_items(1000, 0.05, 1).tolist()
    assert len(draw_items(10, 0.01, 0)) == 1


@pytest.mark.parametrize("share", [0.0, -0.1, 1.0, 1.5, float("nan"), 0.96])
def test_a_share_that_withholds_nothing_or_all_is_refused(share):
    with pytest.raises(ConfigError, match=f"share of withheld items is {share} of 10"):
        draw_items(10, share, 0)


@pytest.mark.parametrize("item", [-1, 9])
def test_an_item_that_does_not_exist_cannot_be_withheld(item):
    data = dataset([[0, 1, 2]])
    with pytest.raises(ConfigError, match=f"there is no item {item} to withhold"):
        withhold(data, leave_one_out(data), np.array([item]))
