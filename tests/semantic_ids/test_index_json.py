"""index.json: round trips, keys by id or index, and every malformed file in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agentrec.core.errors import DataError
from agentrec.semantic_ids import index_json
from agentrec.semantic_ids.collisions import append_level, collision_rate
from agentrec.semantic_ids.index_json import read_index, write_index
from agentrec.semantic_ids.vocabulary import SIDVocabulary

IDS = ("tea", "milk")
GOOD = {"tea": ["<a_1>", "<b_0>"], "milk": ["<a_1>", "<b_2>"]}


def write(folder: Path, content: Any) -> Path:
    file = folder / "index.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(0, 300)),
    st.booleans(),
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, codes: np.ndarray, named: bool) -> None:
    distinct = append_level(codes) if collision_rate(codes) else codes
    ids = tuple(f"item é{row}" for row in range(len(distinct)))
    file = tmp_path_factory.mktemp("index") / "index.json"
    write_index(SIDVocabulary(distinct, item_ids=ids if named else None), file)
    vocabulary = read_index(file, ids)
    assert np.array_equal(vocabulary.codes, distinct)
    assert vocabulary.level_sizes == tuple(distinct.max(axis=0) + 1)
    assert vocabulary.item_ids == ids


def test_keys_are_item_ids_before_they_are_indexes(tmp_path: Path) -> None:
    file = write(tmp_path, {"1": ["<a_5>"], "0": ["<a_6>"]})
    assert read_index(file, ["1", "0"]).codes.tolist() == [[5], [6]]
    assert read_index(file, ["x", "y"]).codes.tolist() == [[6], [5]]


def test_collisions_are_resolved_or_refused(tmp_path: Path) -> None:
    file = write(tmp_path, {"tea": ["<a_1>", "<b_1>"], "milk": ["<a_1>", "<b_1>"]})
    with pytest.raises(DataError, match=r"50\.0% of 2 items share .* 'milk' with 'tea'; .* collisions='append'"):
        read_index(file, IDS)
    vocabulary = read_index(file, IDS, collisions="append")
    assert vocabulary.codes.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert vocabulary.provenance["num_levels"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"tea": ["<a_1>"', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ([1, 2], "expected an object"),
        ({}, "expected an object"),
        ('{"tea": ["<a_1>"], "tea": ["<a_2>"], "milk": ["<a_3>"]}', r"index\.json holds item 'tea' twice"),
        ({"tea": ["<a_1>", "<b_0>"]}, r"1 of 2 items have no entry, for example 'milk'"),
        ({"jam": ["<a_1>"]}, r"2 of 2 items have no entry, for example 'tea'"),
        ({**GOOD, "jam": ["<a_1>", "<b_1>"]}, r"1 of 3 items have no item in the catalogue, for example 'jam'"),
        ({**GOOD, "milk": ["<a_1>"]}, "'milk' has 1 tokens and 'tea' has 2"),
        ({**GOOD, "milk": "<a_1><b_2>"}, "expected a list of tokens like"),
        ({**GOOD, "tea": 7}, "expected a list of tokens like"),
        ({**GOOD, "tea": []}, "expected a list of tokens like"),
        ({**GOOD, "milk": ["<a_1>", 2]}, "expected a list of tokens like"),
        ({**GOOD, "milk": ["<a_1>", "<b_x>"]}, "'milk' has the token '<b_x>'; expected one like '<b_12>'"),
        ({**GOOD, "milk": ["<a_1>", "<b_-2>"]}, "expected one like"),
        ({**GOOD, "milk": ["<b_1>", "<a_2>"]}, "'<b_1>' at level 1; expected the letter 'a'"),
        ({**GOOD, "milk": ["<a_1>", "<b_1048576>"]}, "expected a code below 1048576"),
        ({**GOOD, "milk": ["<a_1>", f"<b_{'9' * 5000}>"]}, "expected one like"),
        ({**GOOD, "milk": ["<a_1>", "<b_02>"]}, "expected one like"),
        ({"tea": ["<a_1>"] * 40, "milk": ["<a_1>"] * 40}, "at level 2"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        read_index(write(tmp_path, content), IDS, collisions="append")
    assert len(str(error.value)) < 400 + len(str(tmp_path))


def test_a_missing_file_and_one_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_index(tmp_path / "index.json", IDS)
    monkeypatch.setattr(index_json, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="expected at most 10"):
        read_index(write(tmp_path, GOOD), IDS)


@pytest.mark.data
def test_published_indexes_of_amazon_scientific(data_folder: Path) -> None:
    files = sorted((data_folder / "amazon_scientific" / "published_sids").glob("*.json"))
    assert len(files) == 10
    ids = [str(item) for item in range(4344)]
    rates = {}
    for file in files:
        vocabulary = read_index(file, ids, collisions="append")
        rates[file.stem] = round(collision_rate(vocabulary.codes[:, :4]), 3)
        assert vocabulary.num_levels == 4 + (rates[file.stem] > 0)
    assert {name: rate for name, rate in rates.items() if rate} == {
        "letter_native": 0.006,
        "quasid_native": 0.028,
        "rqvae_native": 0.128,
        "rkmeans_native": 0.201,
    }
