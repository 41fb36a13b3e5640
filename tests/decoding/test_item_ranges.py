"""Item ranges: the items behind every node are one slice, for semantic IDs and for titles alike, as a dict says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import DataError
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.item_ranges import ROOT, ItemRanges, spans
from agentrec.decoding.index.sequences import SequenceTrie

EOS = 9
TITLES = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=1, max_size=12)
CODES = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=20, unique=True)


def check(ranges: ItemRanges, sequences: dict[int, list[int]]) -> None:
    """Every prefix of every item leads to a node behind which exactly the items with that prefix stand."""
    prefixes = {tuple(row[:length]) for row in sequences.values() for length in range(len(row) + 1)}
    assert ranges.num_nodes == len(prefixes)
    for prefix in prefixes:
        node = ranges.find(prefix)
        behind = ranges.order[ranges.begins[node] : ranges.ends[node]]
        assert sorted(behind) == [item for item, row in sequences.items() if tuple(row[: len(prefix)]) == prefix]
        follow = {row[len(prefix)] for row in sequences.values() if tuple(row[: len(prefix)]) == prefix != tuple(row)}
        assert ranges.tokens[ranges.children(np.array([node])).values].tolist() == sorted(follow)
    items = np.array(sorted(sequences))
    path = ranges.path(items)
    wanted = [ranges.find(sequences[item][:length]) for item in items for length in range(len(sequences[item]))]
    assert path.values.tolist() == wanted
    assert path.widths.tolist() == [len(sequences[item]) for item in items]


@settings(max_examples=60, deadline=None)
@given(TITLES)
def test_titles_of_any_length_with_twins_and_prefixes(titles: list[list[int]]) -> None:
    ranges = ItemRanges.of_trie(SequenceTrie.build(titles, EOS))
    check(ranges, {item: [*title, EOS] for item, title in enumerate(titles)})


@settings(max_examples=60, deadline=None)
@given(CODES, st.randoms())
def test_semantic_ids_have_the_tokens_of_the_model(codes: list[tuple[int, ...]], random: object) -> None:
    token_ids = [np.array([70, 71, 72, 73]), np.array([10, 11, 12, 13]), np.array([30, 31, 32, 33])]
    index = StaticIndex.build(np.array(codes), (4, 4, 4))
    ranges = ItemRanges.of_index(index, token_ids)
    check(
        ranges,
        {item: [int(token_ids[level][code]) for level, code in enumerate(row)] for item, row in enumerate(codes)},
    )


def test_both_kinds_of_trie_agree_on_semantic_ids() -> None:
    codes = np.unique(np.random.default_rng(0).integers(0, 5, (60, 3)), axis=0)
    ids = [np.arange(5) + 5 * level for level in range(3)]
    one = ItemRanges.of_index(StaticIndex.build(codes, (5, 5, 5)), ids)
    two = ItemRanges.of_trie(SequenceTrie.build((codes + np.array([0, 5, 10])).tolist(), eos=99))
    assert one.order.tolist() == two.order.tolist()
    assert two.num_nodes == one.num_nodes + len(codes)  # an end token per item


def test_a_subset_of_the_catalogue_keeps_its_item_numbers() -> None:
    ranges = ItemRanges.of_trie(SequenceTrie.build([[1], [2], [3, 4]], EOS, items=np.array([0, 2])))
    assert sorted(ranges.order.tolist()) == [0, 2]
    assert ranges.path(np.array([0, 1, 2])).widths.tolist() == [2, 0, 3]


def test_a_prefix_that_leads_nowhere_is_named() -> None:
    ranges = ItemRanges.of_trie(SequenceTrie.build([[1, 2], [3]], EOS))
    assert ranges.find([]) == ROOT
    with pytest.raises(DataError, match=r"begins with \[1, 3\]"):
        ranges.find([1, 3, 2])


def test_spans() -> None:
    assert spans(np.array([5, 0, 8]), np.array([2, 0, 3])).tolist() == [5, 6, 8, 9, 10]
    assert torch.equal(torch.from_numpy(spans(np.array([3]), np.array([0]))), torch.zeros(0, dtype=torch.long))
