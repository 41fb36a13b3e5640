"""The static index answers what the trie and plain sets answer, whatever the catalogue and the logits."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ArtefactError, DataError
from agentrec.core.types import IntArray
from agentrec.decoding.children.candidates import Frontier, best_by_children
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.packing import Layout, sorted_rows
from agentrec.decoding.index.trie import Trie
from agentrec.testing.constraints import ConstraintTests
from agentrec.testing.generators import random_codes

SHAPES = [
    (1, (1,)),
    (5, (3, 2)),
    (40, (5, 4, 6)),
    (300, (300, 2, 5)),
    (30, (2,) * 8),
    (400, (2048,) * 8),
    (60, (1, 64)),
]


class TestStaticIndex(ConstraintTests):
    def make(self, codes: IntArray, level_sizes: tuple[int, ...], items: IntArray) -> StaticIndex:
        return StaticIndex.build(codes, level_sizes, items)


class TestWithoutTables(ConstraintTests):
    """Flat arrays alone, as large first levels have them."""

    def make(self, codes: IntArray, level_sizes: tuple[int, ...], items: IntArray) -> StaticIndex:
        return bare(StaticIndex.build(codes, level_sizes, items))


def bare(index: StaticIndex) -> StaticIndex:
    none = (None,) * len(index.tokens)
    return StaticIndex(index.level_sizes, index.tokens, index.offsets, index.items, index.branches, none)


def by_hand(trie: Trie, beams: Frontier, logprobs: Any, k: int) -> list[list[tuple[float, int]]]:
    """Score and next state of the k best children of each row, one after the other."""
    found, (level, states, scores, _) = [], beams
    for row in range(len(states)):
        rows: list[tuple[float, int]] = []
        for beam, state in enumerate(states[row].tolist()):
            children = trie.children(level, torch.tensor(state)).tolist()
            value = scores[row, beam] + logprobs[row, beam]
            rows += [(float(value[code]), child) for code, child in enumerate(children) if child >= 0]
        found.append(sorted((pair for pair in rows if pair[0] > -np.inf), key=lambda pair: -pair[0])[:k])
    return found


@pytest.mark.parametrize(("num_items", "sizes"), SHAPES)
def test_states_and_children_are_those_of_the_trie(num_items: int, sizes: tuple[int, ...]) -> None:
    codes = random_codes(num_items, sizes)
    index, trie = StaticIndex.build(codes, sizes), Trie.build(codes, sizes)
    for level in range(len(sizes)):
        nodes = 1 if level == 0 else len(index.tokens[level - 1])
        states = torch.arange(-1, nodes)
        assert torch.equal(index.children(level, states), trie.children(level, states))
        assert torch.equal(bare(index).children(level, states), trie.children(level, states))
        for code in range(-1, min(sizes[level] + 1, 70)):
            expected = (
                trie.children(level, states)[:, code] if 0 <= code < sizes[level] else torch.full_like(states, -1)
            )
            for one in (index, bare(index)):
                assert torch.equal(one.advance(level, states, torch.full_like(states, code)), expected)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8).map(tuple),
    data=st.data(),
    seed=st.integers(0, 2**16),
    k=st.integers(1, 12),
)
def test_the_best_children_are_those_found_by_hand(sizes: tuple[int, ...], data: Any, seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    codes = random_codes(data.draw(st.integers(1, min(math.prod(sizes), 60))), sizes, seed)
    trie, index = Trie.build(codes, sizes), StaticIndex.build(codes, sizes)
    states, scores = torch.zeros(3, 1).long(), torch.zeros(3, 1)
    for level, size in enumerate(sizes):
        logprobs = torch.from_numpy(rng.normal(size=(3, states.shape[1], size)).astype(np.float32))
        logprobs[torch.from_numpy(rng.random(logprobs.shape) < 0.2)] = -np.inf
        beams = Frontier(level, states, scores)
        expected = by_hand(trie, beams, logprobs, k)
        for way in (index.top_candidates, index.search, bare(index).search):
            found = way(beams, logprobs, k)
            assert [
                [(score, state) for score, state in zip(*row, strict=True) if state >= 0]
                for row in zip(found.scores.tolist(), found.states.tolist(), strict=True)
            ] == expected
            assert (found.scores.isneginf() == (found.states < 0)).all()
            alive = found.states >= 0
            reached = index.advance(level, states.gather(1, found.parents), found.codes)
            assert torch.equal(reached[alive], found.states[alive])
        states, scores = found.states, found.scores


def test_equal_scores_come_in_the_order_of_beams_and_codes() -> None:
    codes = random_codes(80, (4, 5, 6))
    index = StaticIndex.build(codes, (4, 5, 6))
    found = index.top_candidates(Frontier(1, torch.arange(4)[None], torch.zeros(1, 4)), torch.zeros(1, 4, 5), 7)
    dense = index.children(1, torch.arange(4)).flatten()
    assert found.states[0].tolist() == dense[dense >= 0][:7].tolist()


def test_columns_say_where_codes_lie_in_the_logits() -> None:
    codes = random_codes(100, (7, 8))
    index, columns = StaticIndex.build(codes, (7, 8)), torch.tensor([30, 2, 9, 11, 5, 17, 23, 24])
    beams = Frontier(1, torch.tensor([[0, 3], [2, -1]]), torch.randn(2, 2))
    logits = torch.randn(2, 2, 40)
    plain = index.top_candidates(beams, logits[..., columns], 5)
    for way in (index.top_candidates, index.search):
        for one, other in zip(plain[:4], way(beams, logits, 5, columns=columns)[:4], strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_it_is(kind: torch.dtype) -> None:
    index = StaticIndex.build(random_codes(60, (8, 9)), (8, 9))
    logprobs = (torch.randperm(2 * 3 * 9).view(2, 3, 9) / -8).to(kind)  # no two alike, and exact in either kind
    beams = Frontier(1, torch.tensor([[0, 1, 2], [3, 4, -1]]), torch.zeros(2, 3))
    assert torch.equal(
        index.top_candidates(beams, logprobs, 4).states,
        best_by_children(index, beams, logprobs.float(), 4).states,
    )


def test_rows_of_minus_infinity_leave_dead_beams() -> None:
    index = StaticIndex.build(random_codes(60, (8, 9)), (8, 9))
    for way in (index.top_candidates, index.search):
        found = way(Frontier(1, torch.tensor([[0, 1]]), torch.zeros(1, 2)), torch.full((1, 2, 9), -torch.inf), 4)
        assert found.states.tolist() == [[-1] * 4]
        assert found.scores.isneginf().all()


@pytest.mark.parametrize("where", ["scores", "logprobs"])
def test_what_is_not_a_number_is_an_error(where: str) -> None:
    index = StaticIndex.build(random_codes(60, (8, 9)), (8, 9))
    scores, logprobs = torch.zeros(1, 2), torch.zeros(1, 2, 9)
    {"scores": scores, "logprobs": logprobs}[where][0, 0] = torch.nan
    for way in (index.top_candidates, index.search):
        with pytest.raises(DataError, match="not a number"):
            way(Frontier(1, torch.tensor([[0, 1]]), scores), logprobs, 4)


def test_barred_items_are_never_taken() -> None:
    index = StaticIndex.build(random_codes(60, (8, 9)), (8, 9))
    beams, logprobs = Frontier(1, torch.arange(8)[None].expand(2, 8), torch.zeros(2, 8)), torch.randn(2, 8, 9)
    best = index.top_candidates(beams, logprobs, 60)
    barred = torch.stack([best.states[0, :3], torch.tensor([-1, -1, -1])])
    for way in (index.top_candidates, index.search):
        found = way(beams, logprobs, 20, barred=barred)
        assert found.states[0].tolist() == best.states[0, 3:23].tolist()
        assert found.states[1].tolist() == best.states[1, :20].tolist()


def test_masked_logits_are_finite_exactly_where_the_trie_goes_on() -> None:
    codes = random_codes(60, (8, 9))
    index, columns = StaticIndex.build(codes, (8, 9)), torch.arange(9) + 4
    states, logits = torch.arange(-1, 8), torch.randn(9, 20)
    masked = index.mask_logits(1, states, logits, columns)
    assert torch.equal(masked[:, columns].isfinite(), index.allowed(1, states))
    assert torch.equal(masked[masked.isfinite()], logits[masked.isfinite()])
    assert not masked[:, :4].isfinite().any()


def test_many_rows_on_several_threads_are_the_same_as_on_one() -> None:
    sizes = (64, 64, 64)
    index = StaticIndex.build(random_codes(20_000, sizes), sizes)
    beams, logprobs = Frontier(1, torch.randint(0, 64, (16, 40)), torch.zeros(16, 40)), torch.randn(16, 40, 64)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(index.top_candidates(beams, logprobs, 40))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*(row[:4] for row in found), strict=True))


def test_a_saved_index_is_the_same_and_a_damaged_one_an_error(tmp_path: Path) -> None:
    sizes = (300, 20, 7)
    index = StaticIndex.build(random_codes(3000, sizes), sizes, np.arange(0, 2500, 3))
    index.save(tmp_path / "index")
    again = StaticIndex.load(tmp_path / "index")
    assert again.nbytes == index.nbytes
    for level in range(3):
        states = torch.arange(-1, 1 if level == 0 else len(index.tokens[level - 1]))
        assert torch.equal(again.children(level, states), index.children(level, states))
    arrays = tmp_path / "index" / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:500])
    with pytest.raises(ArtefactError, match="damaged"):
        StaticIndex.load(tmp_path / "index")


@pytest.mark.parametrize("sizes", [(256,) * 8, (2048,) * 8, (16384, 4096, 1024, 2), (1, 1)])
def test_sorted_words_are_sorted_rows(sizes: tuple[int, ...]) -> None:
    layout = Layout.of(sizes)
    codes = np.stack([np.random.default_rng(0).integers(0, size, 500) for size in sizes], axis=1)
    codes[100:200] = codes[:100]
    placed, order = sorted_rows(layout.pack(codes), layout)
    expected = np.lexsort(codes.T[::-1])
    assert np.array_equal(order, expected)
    assert np.array_equal(placed, layout.pack(codes[expected]))


def test_a_code_out_of_range_is_named() -> None:
    with pytest.raises(DataError, match="row 1 has code 3 at level 1; expected 0 to 2"):
        StaticIndex.build(np.array([[0, 1], [1, 3]]), (2, 3))
    with pytest.raises(DataError, match=r"shape \(2, 2\)"):
        StaticIndex.build(np.array([[0, 1], [1, 3]]), (2, 3, 4))


def test_packed_rows_are_left_as_they_were() -> None:
    layout = Layout.of((256,) * 4)
    words = layout.pack(random_codes(300, (256,) * 4)[::-1])
    before = words.copy()
    StaticIndex.from_words(words, layout)
    assert np.array_equal(words, before)
