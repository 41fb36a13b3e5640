"""The k-core against the slow definition."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, DataError
from agentrec.data.kcore import k_core
from agentrec.data.table import from_frames

Rows = list[tuple[str, str, int]]


def slow_core(rows: Rows, min_user: int, min_item: int) -> Rows:
    """Drop one offending row at a time until none is left."""
    rows = list(rows)
    while True:
        users, items = [row[0] for row in rows], [row[1] for row in rows]
        bad = [row for row in rows if users.count(row[0]) < min_user or items.count(row[1]) < min_item]
        if not bad:
            return rows
        rows.remove(bad[0])


def named_rows(data) -> Rows:
    rows = data.interactions
    triples = zip(rows.users.tolist(), rows.items.tolist(), rows.order.tolist(), strict=True)
    return [(data.user_ids[user], data.catalogue.ids[item], order) for user, item, order in triples]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_equals_slow_reference(pairs, min_user, min_item):
    rows = [(f"u{user}", f"i{item}", order) for order, (user, item) in enumerate(pairs)]
    data = from_frames(pd.DataFrame(rows, columns=["user", "item", "order"]))
    expected = slow_core(rows, min_user, min_item)
    if not expected:
        with pytest.raises(DataError, match="none is left"):
            k_core(data, min_user=min_user, min_item=min_item)
        return
    core = k_core(data, min_user=min_user, min_item=min_item)
    assert sorted(named_rows(core)) == sorted(expected)
    # A limit of 0 keeps those of whom nothing is left.
    assert set(core.user_ids) == ({row[0] for row in expected} if min_user else set(data.user_ids))
    assert set(core.catalogue.ids) == ({row[1] for row in expected} if min_item else set(data.catalogue.ids))
    assert list(core.catalogue.ids) == [item for item in data.catalogue.ids if item in set(core.catalogue.ids)]
    assert k_core(core, min_user=min_user, min_item=min_item).fingerprint == core.fingerprint


def test_texts_and_ratings_follow_their_rows():
    frame = pd.DataFrame(
        {"user": ["a", "b", "b", "c", "c"], "item": list("xyzyz"), "time": [1, 2, 3, 4, 5], "rating": [5, 4, 3, 2, 1]}
    )
    items = pd.DataFrame({"item": list("wxyz"), "title": ["W", "X", "Y", "Z"]})
    data = from_frames(frame, items)
    core = k_core(data, min_user=2, min_item=2)
    assert core.catalogue.titles == ("Y", "Z")
    assert core.interactions.ratings is not None
    assert core.interactions.ratings.tolist() == [4, 3, 2, 1]
    assert core.provenance == {"made_from": data.fingerprint, "min_user": 2, "min_item": 2}
    assert k_core(data, min_user=0, min_item=0).fingerprint == data.fingerprint  # "w" was never bought, and stays
    with pytest.raises(ConfigError, match="min_user is -1"):
        k_core(data, min_user=-1)
