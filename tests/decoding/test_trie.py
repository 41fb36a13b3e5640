"""The trie equals a dictionary of prefixes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import DataError
from agentrec.core.protocols import Constraint
from agentrec.decoding.index.trie import Trie
from agentrec.testing.constraints import ConstraintTests


class TestTrie(ConstraintTests):
    def make(self, codes: np.ndarray, level_sizes: tuple[int, ...], items: np.ndarray) -> Trie:
        return Trie.build(codes, level_sizes, items)


def walk(trie: Trie, codes: list[int]) -> int:
    state = torch.tensor([0])
    for level, code in enumerate(codes):
        state = trie.children(level, state)[:, code]
    return int(state)


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    sizes = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=5)))
    rows = draw(
        st.lists(st.tuples(*(st.integers(0, size - 1) for size in sizes)), min_size=1, max_size=40, unique=True)
    )
    return np.array(rows, np.int64), sizes


@given(catalogues(), st.data())
@settings(max_examples=60, deadline=None)
def test_every_walk_agrees_with_the_set_of_prefixes(catalogue: tuple, data: st.DataObject) -> None:
    codes, sizes = catalogue
    chosen = data.draw(st.sets(st.integers(0, len(codes) - 1), min_size=1))
    trie = Trie.build(codes, sizes, np.array(sorted(chosen)))
    prefixes = {tuple(codes[item, :length]) for item in chosen for length in range(len(sizes) + 1)}
    assert trie.num_items == len(chosen)
    assert trie.level_sizes == sizes
    for item, row in enumerate(codes.tolist()):
        assert walk(trie, row) == (item if item in chosen else -1)
    attempt = [data.draw(st.integers(0, size - 1)) for size in sizes]
    for length in range(1, len(sizes) + 1):
        assert (walk(trie, attempt[:length]) >= 0) == (tuple(attempt[:length]) in prefixes)


def test_errors_say_what_is_wrong() -> None:
    codes = np.array([[0, 1], [1, 0]])
    trie: Constraint = Trie.build(codes, (2, 2))
    assert trie.children(1, torch.tensor([-1])).tolist() == [[-1, -1]]
    with pytest.raises(DataError, match="empty"):
        Trie.build(codes, (2, 2), np.zeros(0, np.int64))
    with pytest.raises(DataError, match="2 items share 1"):
        Trie.build(np.array([[0, 1], [0, 1]]), (2, 2))
