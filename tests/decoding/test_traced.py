"""Walks that end in codes: all of them without a constraint, those of its items with one."""

import numpy as np
import pytest
import torch

from agentrec.core.errors import DataError
from agentrec.decoding.index.traced import Traced
from agentrec.decoding.index.trie import Trie
from agentrec.testing.generators import random_codes


def ends(traced):
    states = torch.zeros(1, dtype=torch.long)
    for level in range(len(traced.level_sizes)):
        states = traced.children(level, states).flatten()
        states = states[states >= 0]
    return states.numpy()


@pytest.mark.parametrize("level_sizes", [(4,), (3, 5), (2, 3, 4, 2)])
def test_without_a_constraint_every_sequence_is_reached_once(level_sizes):
    traced = Traced(level_sizes)
    codes = traced.codes(ends(traced))
    assert codes.tolist() == [list(index) for index in np.ndindex(*level_sizes)]
    assert traced.num_items == len(codes)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_with_a_constraint_the_codes_of_its_items_are_reached(share):
    sizes = (4, 3, 5)
    codes = random_codes(30, sizes)
    items = np.sort(np.random.default_rng(0).choice(len(codes), int(share * len(codes)), replace=False))
    traced = Traced(sizes, Trie.build(codes, sizes, items))
    assert sorted(traced.codes(ends(traced)).tolist()) == sorted(codes[items].tolist())
    assert traced.num_items == len(items)


def test_dead_beams_stay_dead_in_any_shape():
    for traced in (Traced((2, 3)), Traced((2, 3), Trie.build(np.array([[0, 1], [1, 2]]), (2, 3)))):
        found = traced.children(1, torch.tensor([[0, -1], [1, -1]]))
        assert found.shape == (2, 2, 3)
        assert (found[:, 1] == -1).all()
        assert (found[:, 0] >= 0).any(dim=-1).all()
    assert traced.codes(np.array([[-1, 5]])).tolist() == [[[-1, -1], [1, 2]]]


def test_too_many_sequences_are_refused():
    with pytest.raises(DataError, match="more than 2\\*\\*62"):
        Traced((1 << 16,) * 4)
