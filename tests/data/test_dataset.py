"""The data set itself: order, hashes, texts, and the way to disk and back."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from agentrec.core.errors import ArtefactError, DataError, DataWarning
from agentrec.core.types import Catalogue
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.strings import pack, unpack


def small(titles: tuple[str, ...] = ("Ünïcode 🍕", "", "plain"), **changes: object) -> Dataset:
    rows = Interactions.sort(
        np.array([1, 0, 1, 0]), np.array([0, 1, 2, 2]), np.array([5, 3, 4, 3]), ratings=np.array([1.5, 2, 3, 4])
    )
    catalogue = Catalogue(("a", "007", " é🙂"), {"title": titles})
    return Dataset("small", ("u 1", "02"), catalogue, dataclasses.replace(rows, **changes))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text()))
def test_strings_survive_packing(strings):
    assert unpack(*pack(strings)) == tuple(strings)


def test_strings_that_cannot_be_packed_are_refused():
    with pytest.raises(DataError, match="lone surrogate"):
        pack(["fine", "\ud800"])
    with pytest.raises(ArtefactError, match="do not fit"):
        unpack(np.zeros(3, np.uint8), np.array([0, 4]))
    with pytest.raises(ArtefactError, match="not UTF-8"):
        unpack(np.array([0xFF], np.uint8), np.array([0, 1]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(-5, 5)), max_size=40))
def test_sorting_is_stable(rows):
    users, items, order = (np.array([row[column] for row in rows], np.int64) for column in range(3))
    found = Interactions.sort(users, items, order)
    expected = sorted(rows, key=lambda row: (row[0], row[2]))
    assert list(zip(found.users.tolist(), found.items.tolist(), found.order.tolist(), strict=True)) == expected


def test_histories_are_rows_in_order():
    assert [row.tolist() for row in small().histories()] == [[1, 2], [2, 0]]
    lonely = Dataset("l", ("a", "b", "c"), Catalogue(("i",)), Interactions.sort(*np.array([[1], [0], [0]])))
    assert [row.tolist() for row in lonely.histories()] == [[], [0], []]
    assert lonely.histories().users.tolist() == [0, 1, 2]


def test_saving_and_loading_changes_nothing(tmp_path):
    data = small().stamp({"made": "by hand"})
    data.save_pretrained(tmp_path / "d")
    again = Dataset.from_pretrained(tmp_path / "d")
    assert again.fingerprint == data.fingerprint
    assert again.user_ids == data.user_ids
    assert again.catalogue == data.catalogue
    assert again.provenance == {"made": "by hand"}
    assert repr(again) == repr(data) == "Dataset('small', 2 users, 3 items, 4 interactions)"
    np.testing.assert_array_equal(again.interactions.ratings, data.interactions.ratings)
    card, manifest = ((tmp_path / "d" / name).read_text(encoding="utf-8") for name in ("README.md", "agentrec.json"))
    assert "007" not in card
    assert "007" not in manifest
    assert json.loads(manifest)["config"]["columns"] == ["title"]


def test_fingerprint_sees_every_part():
    data = small()
    other_column = Catalogue(data.catalogue.ids, {"name": data.catalogue.titles})
    parts = [
        small(titles=("other", "", "plain")),
        small(ratings=None),
        small(has_timestamps=True),
        small(items=np.array([1, 2, 2, 1])),
        small(order=np.array([3, 3, 4, 6])),
        Dataset("small", ("u 1", "2"), data.catalogue, data.interactions),
        Dataset("small", data.user_ids, other_column, data.interactions),
    ]
    prints = [data.fingerprint, *(part.fingerprint for part in parts)]
    assert len(set(prints)) == len(prints)
    assert Dataset("renamed", data.user_ids, data.catalogue, data.interactions).fingerprint == data.fingerprint


def test_texts_are_required_and_gaps_are_told():
    with pytest.warns(DataWarning, match="1 of 3 items .*'007'"):
        assert small().require_texts() == ["Ünïcode 🍕", "007", "plain"]
    with pytest.raises(DataError, match=r"none of them has a text.*items="):
        small(titles=("", " ", "")).require_texts()
    assert small(titles=("x", "y", "z")).require_texts() == ["x", "y", "z"]


def test_summary_counts():
    summary = small().summary()
    expected = {"users": 2, "items": 3, "interactions": 4, "density": 4 / 6, "median_history": 2.0}
    assert expected.items() <= summary.items()
    assert summary["items_without_text"] == 1
    assert summary["items_without_interactions"] == 0
    json.dumps(summary)


def test_impossible_data_sets_are_refused():
    rows, catalogue = small().interactions, small().catalogue
    with pytest.raises(DataError, match="user indexes run from 0 to 1; expected 0 to 0"):
        Dataset("x", ("a",), catalogue, rows)
    with pytest.raises(DataError, match="item indexes"):
        Dataset("x", ("a", "b"), Catalogue(("i",)), rows)
    with pytest.raises(DataError, match="user id 'a' occurs twice"):
        Dataset("x", ("a", "b", "a"), catalogue, rows)
    with pytest.raises(DataError, match="not sorted"):
        Interactions(np.array([1, 0]), np.array([0, 0]), np.array([0, 0]))
    with pytest.raises(DataError, match="not sorted"):
        Interactions(np.array([0, 0]), np.array([0, 0]), np.array([1, 0]))
    with pytest.raises(DataError, match="lengths"):
        Interactions(np.array([0, 0]), np.array([0]), np.array([1, 0]))


def test_incomplete_folders_are_refused(tmp_path):
    small().save_pretrained(tmp_path / "d")
    arrays = load_file(tmp_path / "d" / "arrays.safetensors")
    del arrays["item_ids.bytes"]
    save_file(arrays, tmp_path / "d" / "arrays.safetensors")
    with pytest.raises(ArtefactError, match=r"lacks 'item_ids\.bytes'"):
        Dataset.from_pretrained(tmp_path / "d")
