"""A constraint that ends in codes instead of items, to see what a beam search generated.

Where the search is to be checked, the item it names proves nothing: it comes from the constraint itself. `Traced` walks
another constraint, or none at all, and numbers every code sequence in mixed radix.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agentrec.core.errors import DataError
from agentrec.core.protocols import Constraint
from agentrec.core.types import PAD, IntArray


class Traced:
    """A constraint whose walks end in code sequences, written as one number, instead of items.

    Args:
        level_sizes: K_l per level.
        allowed: the constraint that is walked; None allows every code.

    Raises:
        DataError: there are more code sequences than 64 bits can number.

    Example:
        >>> import torch
        >>> Traced((2, 3)).children(1, torch.tensor([1])).tolist()
        [[3, 4, 5]]
    """

    def __init__(self, level_sizes: tuple[int, ...], allowed: Constraint | None = None) -> None:
        self.level_sizes = level_sizes
        self.allowed = allowed
        if np.prod([float(size) for size in level_sizes]) >= 2**62:
            raise DataError(f"level sizes {level_sizes} give more than 2**62 code sequences; expected fewer to trace")

    @property
    def num_items(self) -> int:
        """How many code sequences can be reached."""
        return int(np.prod(self.level_sizes)) if self.allowed is None else self.allowed.num_items

    def children(self, level: int, states: Any) -> Any:
        """See `agentrec.core.protocols.Constraint`; a state is the codes so far in mixed radix."""
        import torch

        size = self.level_sizes[level]
        found = states[..., None] * size + torch.arange(size, device=states.device)
        dead = (states < 0)[..., None].expand_as(found)
        if self.allowed is not None:
            dead = dead | (self.allowed.children(level, self._walk(level, states)) < 0)
        return found.masked_fill(dead, -1)

    def _walk(self, level: int, states: Any) -> Any:
        """States of the allowed constraint behind the codes of states (...,)."""
        import torch

        alive = states.clamp_min(0)
        found = torch.zeros_like(states)
        for step in range(level):
            below = int(np.prod(self.level_sizes[step + 1 : level]))
            code = alive // below % self.level_sizes[step]
            found = self.allowed.children(step, found).gather(-1, code[..., None])[..., 0]  # type: ignore[union-attr]
        return found.masked_fill(states < 0, -1)

    def codes(self, ends: IntArray) -> IntArray:
        """The codes behind the ends of walks: (...,) int64 -> (..., L) int64, ``-1`` for ``-1``."""
        digits = np.stack(np.unravel_index(np.maximum(ends, 0), self.level_sizes), axis=-1).astype(np.int64)
        return np.where((ends < 0)[..., None], PAD, digits)
