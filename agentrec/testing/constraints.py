"""The conformance suite of constraints: inherit it, say how yours is built, and pytest checks it against plain sets.

Example::

    class TestTrie(ConstraintTests):
        def make(self, codes, level_sizes, items):
            return Trie.build(codes, level_sizes, items)

Random catalogues of several shapes, all items allowed or some, are walked code by code: a walk may go on exactly
while some allowed item starts like it, and a finished walk names its item.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agentrec.core.errors import DataError
from agentrec.core.protocols import Constraint
from agentrec.core.types import IntArray

SHAPES = [(1, (1,)), (5, (3, 2)), (40, (5, 4, 6)), (200, (16, 16, 16, 3)), (30, (2,) * 8), (60, (1, 64))]


class ConstraintTests:
    """What every constraint must do; a subclass implements `make`."""

    def make(self, codes: IntArray, level_sizes: tuple[int, ...], items: IntArray) -> Constraint:
        """Build a constraint of the rows ``items`` of ``codes``."""
        raise NotImplementedError

    def walk(self, constraint: Constraint, codes: list[int]) -> int:
        """The state behind a sequence of codes, ``-1`` once it has left the allowed set."""
        import torch

        state = torch.zeros(1, dtype=torch.long)
        for level, code in enumerate(codes):
            state = constraint.children(level, state)[:, code]
        return int(state)

    @pytest.mark.parametrize(("num_items", "level_sizes"), SHAPES)
    @pytest.mark.parametrize("share", [1.0, 0.3])
    def test_walks_agree_with_sets(self, num_items: int, level_sizes: tuple[int, ...], share: float) -> None:
        """Every allowed item is reached, no other is, and random walks end where no item goes on."""
        from agentrec.testing.generators import random_codes

        codes = random_codes(num_items, level_sizes)
        rng = np.random.default_rng(1)
        items = np.sort(rng.choice(len(codes), max(1, int(share * len(codes))), replace=False))
        constraint = self.make(codes, level_sizes, items)
        allowed = set(items.tolist())
        assert constraint.num_items == len(allowed)
        assert tuple(constraint.level_sizes) == level_sizes
        for item, row in enumerate(codes.tolist()):
            assert self.walk(constraint, row) == (item if item in allowed else -1)
        prefixes = {tuple(codes[item, :length]) for item in items for length in range(1, len(level_sizes) + 1)}
        for _ in range(50):
            attempt = [int(rng.integers(size)) for size in level_sizes]
            for length in range(1, len(level_sizes) + 1):
                assert (self.walk(constraint, attempt[:length]) >= 0) == (tuple(attempt[:length]) in prefixes)

    def test_any_shape_of_states_and_dead_ones(self) -> None:
        """States (B, M) give children (B, M, K); a dead state has none."""
        import torch

        constraint = self.make(np.array([[0, 1], [1, 0]]), (2, 2), np.arange(2))
        first: Any = constraint.children(0, torch.zeros(3, 2, dtype=torch.long))
        assert first.shape == (3, 2, 2)
        assert first.dtype == torch.long
        dead = constraint.children(1, torch.full((2,), -1))
        assert (dead == -1).all()

    def test_an_empty_set_is_an_error(self) -> None:
        """Nothing allowed is never taken for everything allowed."""
        with pytest.raises(DataError):
            self.make(np.array([[0, 1], [1, 0]]), (2, 2), np.zeros(0, np.int64))

    def test_two_items_of_one_path_are_an_error(self) -> None:
        """Collisions are resolved before a constraint is built."""
        with pytest.raises(DataError):
            self.make(np.array([[0, 1], [0, 1]]), (2, 2), np.arange(2))
