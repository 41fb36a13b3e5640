"""What decoding is measured against does what it says: every rival agrees with the readable trie."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from agentrec.core.errors import DataError
from agentrec.decoding.children.candidates import Frontier, best
from agentrec.decoding.index.trie import Trie
from agentrec.testing.decoding_rivals.binary_search import SortedRows
from agentrec.testing.decoding_rivals.bitmap import HashedPrefixes
from agentrec.testing.decoding_rivals.dict_trie import DictTrie
from agentrec.testing.decoding_rivals.free import Free
from agentrec.testing.decoding_rivals.grammar import ChoiceGrammar
from agentrec.testing.decoding_rivals.masked import PrefixMask, masked_search
from agentrec.testing.decoding_rivals.static import StaticTrie
from agentrec.testing.generators import random_codes

K, LEVELS, BEAMS = 12, 4, 9
SIZES = (K,) * LEVELS


def catalogue(num_items: int = 300) -> np.ndarray:
    return random_codes(num_items, SIZES)


def lines(rows: int = 3, beams: int = BEAMS) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(rows, 1, K), *[(rows, beams, K)] * (LEVELS - 1)]
    return [torch.randn(shape, generator=generator).log_softmax(-1) for shape in shapes]


def by_constraint(constraint: Any, logprobs: Sequence[torch.Tensor], num_beams: int) -> Any:
    states, scores = torch.zeros(len(logprobs[0]), 1).long(), torch.zeros(len(logprobs[0]), 1)
    for level, line in enumerate(logprobs):
        found = best(constraint, Frontier(level, states, scores), line[:, : states.shape[1]], num_beams)
        states, scores = found.states, found.scores
    return found


def make(name: str, codes: np.ndarray) -> PrefixMask:
    if name == "grammar":
        pytest.importorskip("xgrammar")
        return ChoiceGrammar(codes, K)
    return {
        "dict": lambda: DictTrie(codes, K),
        "binary": lambda: SortedRows(codes, SIZES),
        "bitmap": lambda: HashedPrefixes(codes, K, bits=26),
    }[name]()


@pytest.mark.parametrize("name", ["dict", "binary", "bitmap", "grammar"])
def test_masks_are_those_of_the_trie(name: str) -> None:
    codes = catalogue()
    trie, rival = Trie.build(codes, SIZES), make(name, codes)
    for level in range(LEVELS):
        prefixes = np.unique(codes[:, :level], axis=0)
        states = torch.arange(len(prefixes))
        expected = trie.children(level, states) >= 0
        assert torch.equal(rival.allowed(torch.from_numpy(prefixes)), expected)


@pytest.mark.parametrize("name", ["dict", "binary", "bitmap", "grammar"])
def test_searches_find_what_the_trie_finds(name: str) -> None:
    codes, logprobs = catalogue(), lines()
    found = masked_search(make(name, codes), logprobs, BEAMS)
    expected = by_constraint(Trie.build(codes, SIZES), logprobs, BEAMS)
    assert torch.equal(found.scores, expected.scores)
    assert np.array_equal(found.codes.numpy(), codes[expected.states.numpy()])


@pytest.mark.parametrize("num_items", [1, 2, 300])
def test_static_looks_at_everything_if_it_is_asked_to(num_items: int) -> None:
    codes, logprobs = catalogue(num_items), lines()
    found = StaticTrie.build(codes, K).search(logprobs, BEAMS, dense_candidates=None)
    expected = by_constraint(Trie.build(codes, SIZES), logprobs, BEAMS)
    alive = expected.states >= 0
    assert torch.equal(found.scores, expected.scores)
    assert np.array_equal(found.codes[alive].numpy(), codes[expected.states[alive].numpy()])


def test_static_as_published_misses_what_one_beam_has_too_much_of() -> None:
    codes = np.array([[a, b, 0] for a in range(2) for b in range(K)])
    logprobs = [torch.zeros(1, 1, K), torch.zeros(1, 4, K), torch.zeros(1, 4, K)]
    logprobs[0][..., 1] = -100.0
    index = StaticTrie.build(codes, K)
    assert index.search(logprobs, 4, dense_candidates=None).codes[0, :, 0].tolist() == [0, 0, 0, 0]
    assert sorted(index.search(logprobs, 4, dense_candidates=2).codes[0, :, 0].tolist()) == [0, 0, 1, 1]


def test_static_wants_sorted_distinct_rows() -> None:
    codes = catalogue()
    for wrong in (codes[::-1], np.concatenate([codes[:1], codes])):
        with pytest.raises(DataError, match="lexicographic"):
            StaticTrie.build(wrong, K)
    with pytest.raises(DataError, match=r"shape \(1, 2\)"):
        StaticTrie.build(codes[:1, :2], K)


def test_a_small_bitmap_lets_invalid_items_pass() -> None:
    codes = catalogue()
    found = masked_search(HashedPrefixes(codes, K, bits=10), lines(), BEAMS).codes.flatten(0, 1).tolist()
    real = {tuple(row) for row in codes.tolist()}
    assert 0 < sum(tuple(row) in real for row in found) < len(found)


def test_rows_too_long_for_a_word_are_refused() -> None:
    with pytest.raises(DataError, match="63 bits"):
        SortedRows(np.zeros((1, 8), np.int64), (256,) * 8)


def test_a_free_search_is_the_search_of_a_trie_of_everything() -> None:
    sizes = (3, 4, 2)
    everything = np.stack(np.unravel_index(np.arange(24), sizes), axis=1)
    generator = torch.Generator().manual_seed(0)
    logprobs = [torch.randn(2, 5, size, generator=generator) for size in sizes]
    found = by_constraint(Free(sizes), logprobs, 5)
    expected = by_constraint(Trie.build(everything, sizes), logprobs, 5)
    assert all(torch.equal(one, other) for one, other in zip(found[:4], expected[:4], strict=True))
    states = torch.tensor([[0, 2, -1]])
    assert torch.equal(Free(sizes).children(1, states), Trie.build(everything, sizes).children(1, states))
