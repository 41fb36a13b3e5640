"""The vocabulary: codes, tokens, items and tokenizers agree, and mismatches are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ArtefactError, DataError
from agentrec.semantic_ids.vocabulary import SIDVocabulary

CODES = np.array([[0, 1, 0], [0, 1, 1], [2, 0, 0]])


@st.composite
def distinct_codes(draw: st.DrawFn) -> np.ndarray:
    levels = draw(st.integers(1, 4))
    rows = draw(st.sets(st.tuples(*[st.integers(0, 12)] * levels), min_size=1, max_size=20))
    return np.array(draw(st.permutations(sorted(rows))))


def tokenizer(normalised: bool = False) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({"[UNK]": 0, "next": 1, ":": 2}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    if normalised:
        core.normalizer = normalizers.Sequence([normalizers.Prepend("_"), normalizers.Replace("<", "(")])
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")


@settings(max_examples=60, deadline=None)
@given(distinct_codes())
def test_items_codes_and_texts_are_one_to_one(codes: np.ndarray) -> None:
    vocabulary = SIDVocabulary(codes)
    assert vocabulary.level_sizes == tuple(codes.max(axis=0) + 1)
    assert len(vocabulary.all_tokens) == sum(vocabulary.level_sizes) == len(set(vocabulary.all_tokens))
    everything = "noise ".join(vocabulary.text(item) for item in range(len(codes)))
    assert vocabulary.parse(everything) == list(range(len(codes)))
    for item, row in enumerate(codes):
        assert vocabulary.item(row) == item
        positions = vocabulary.level_offsets + row
        assert tuple(vocabulary.all_tokens[position] for position in positions) == vocabulary.tokens(item)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", []),
        ("<a_0><b_1>", []),
        ("<a_0><b_1><c_1>", [1]),
        ("<a_0> <b_1> <c_1>", [1]),
        ("<a_2><a_0><b_1><c_0>", [0]),
        ("<b_1><c_0>", []),
        ("<a_0><c_0><b_1>", []),
        ("<a_9><b_9><c_9><a_2><b_0><c_0>", [2]),
        ("<a_00><b_1><c_0>", []),
        (f"<a_{'1' * 5000}><b_1><c_0>", []),
    ],
)
def test_parse_finds_complete_ids_alone(text: str, items: list[int]) -> None:
    assert SIDVocabulary(CODES).parse(text) == items


@pytest.mark.parametrize("normalised", [False, True], ids=["plain", "normalised"])
def test_a_tokenizer_reads_and_writes_the_tokens(normalised: bool) -> None:
    vocabulary, words = SIDVocabulary(CODES), tokenizer(normalised)
    assert vocabulary.extend_tokenizer(words) == 7
    assert vocabulary.extend_tokenizer(words) == 0
    ids = vocabulary.item_token_ids(words)
    assert ids.shape == (3, 3)
    for item in range(3):
        inside = words(f"next: {vocabulary.text(item)} next", add_special_tokens=False)["input_ids"]
        assert [token for token in inside if token in set(ids.ravel().tolist())] == ids[item].tolist()
        assert vocabulary.parse(words.decode(ids[item], skip_special_tokens=True)) == [item]
    levels = vocabulary.token_ids(words)
    assert [len(level) for level in levels] == [3, 2, 2]


def test_a_tokenizer_without_the_tokens_is_refused() -> None:
    with pytest.raises(ArtefactError, match="no token '<a_0>'"):
        SIDVocabulary(CODES).token_ids(tokenizer())


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    for ids in (None, ("x", "y", "z")):
        vocabulary = SIDVocabulary(CODES, [4, 4, 4], ids).stamp({"seed": 3})
        vocabulary.save_pretrained(tmp_path / "saved")
        loaded = SIDVocabulary.from_pretrained(tmp_path / "saved")
        assert np.array_equal(loaded.codes, CODES)
        assert loaded.level_sizes == (4, 4, 4)
        assert loaded.item_ids == ids
        assert loaded.provenance == {"seed": 3}
        assert loaded.fingerprint == vocabulary.fingerprint != SIDVocabulary(CODES).fingerprint


def test_a_catalogue_that_does_not_match_is_refused() -> None:
    SIDVocabulary(CODES).matches(["x", "y", "z"])
    named = SIDVocabulary(CODES, item_ids=["x", "y", "z"])
    named.matches(["x", "y", "z"])
    for other, found in (
        (["x", "y"], r"\(3 items against 2\)"),
        (["x", "z", "y"], "3 items against 3, where 'z' has"),
        (["x", "y", "z", "w"], "3 items against 4, where 'w' has"),
    ):
        with pytest.raises(ArtefactError, match=f"belong to another catalogue .*{found}"):
            named.matches(other)


@pytest.mark.parametrize(
    ("codes", "more", "message"),
    [
        (np.zeros((0, 2)), {}, "at least one item and one level"),
        (np.zeros(3), {}, "at least one item and one level"),
        (np.array([[1], [0], [0]]), {}, r"3 items share 2 distinct codes, item 1 and item 2 for example \[0\]"),
        (np.array([[0], [0]]), {"item_ids": ["x", "y"]}, "item 'x' and item 'y' for example"),
        (np.array([[0], [1]]), {"item_ids": ["x", "x"]}, "item id 'x' is given twice"),
        (np.array([[0.5]]), {}, "type float64; expected .* integers"),
        (np.array([[-1], [0]]), {}, "no negative code"),
        (np.array([[3], [0]]), {"level_sizes": [3]}, "level sizes of at least"),
        (np.array([[3], [0]]), {"level_sizes": [4, 4]}, "level sizes of at least"),
        (np.array([[3], [0]]), {"item_ids": ["x"]}, "1 item ids belong to 2 rows"),
        (np.zeros((1, 27), np.int64), {}, "at most 26 have a token name"),
    ],
)
def test_codes_that_make_no_vocabulary_are_refused(codes: np.ndarray, more: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        SIDVocabulary(codes, **more)


@settings(max_examples=30, deadline=None)
@given(distinct_codes(), st.data())
def test_ids_and_codes_lead_to_one_another(codes: np.ndarray, data: st.DataObject) -> None:
    vocabulary = SIDVocabulary(codes, item_ids=[f"id {row}" for row in range(len(codes))])
    some = data.draw(st.lists(st.integers(0, len(codes) - 1), max_size=5))
    found = vocabulary.codes_of([f"id {row}" for row in some])
    assert found.shape == (len(some), codes.shape[1])
    assert vocabulary.items(found).tolist() == some


def test_unknown_items_are_named() -> None:
    vocabulary = SIDVocabulary(CODES, item_ids=["x", "y", "z"])
    for item in (-1, 3):
        with pytest.raises(DataError, match=f"there is no item {item}; expected an index from 0 to 2"):
            vocabulary.text(item)
    with pytest.raises(DataError, match="item 'w' has no semantic ID; expected one of the 3 items, such as 'x'"):
        vocabulary.codes_of(["y", "w"])
    with pytest.raises(DataError, match="know no item ids"):
        SIDVocabulary(CODES).codes_of(["x"])
    with pytest.raises(DataError, match=r"row 1 has the codes \[1, 1, 1\], which no item has"):
        vocabulary.items(np.array([[0, 1, 0], [1, 1, 1]]))
    assert vocabulary.item([1, 1, 1]) is None
    for wrong in (CODES[:, :2], CODES[0], CODES + 0.5):
        with pytest.raises(DataError, match=r"expected \(n, 3\) integers"):
            vocabulary.items(wrong)
