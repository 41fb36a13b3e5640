"""Where the children of every node begin, in little more than a byte per node.

A node mostly has one child, so its first child lies a little behind its own number: ``first[p] = p + base[p // 64] +
small[p]``, with ``small`` counted from the start of the node's block and ``uint8`` wherever that fits. A level that
branches more keeps ``small`` in 32 or 64 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from agentrec.core.types import IntArray
from agentrec.decoding.index import kernels


@dataclass(frozen=True)
class Offsets:
    """First edges of n nodes, and behind them the number of edges.

    Attributes:
        base: (n // 64 + 1,) int32 or int64.
        small: (n + 1,) uint8, int32 or int64.
    """

    base: torch.Tensor
    small: torch.Tensor

    @classmethod
    def of(cls, first: IntArray) -> Offsets:
        """Pack plain offsets: (n + 1,), rising."""
        wide = np.int32 if int(first[-1]) < 2**31 else np.int64
        base = np.empty(((len(first) - 1) >> kernels.BLOCK_BITS) + 1, wide)
        small: np.ndarray = np.empty(len(first), np.uint8)
        if kernels.block_offsets(first, base, small) > np.iinfo(np.uint8).max:
            small = np.empty(len(first), wide)
            kernels.block_offsets(first, base, small)
        return cls(torch.from_numpy(base), torch.from_numpy(small))

    def at(self, nodes: torch.Tensor) -> torch.Tensor:
        """First edge of nodes: (...,) int64, 0 to n -> (...,) int64."""
        return nodes + self.base[nodes >> kernels.BLOCK_BITS] + self.small[nodes]

    def to(self, device: torch.device | str) -> Offsets:
        """The same on a device."""
        return Offsets(self.base.to(device), self.small.to(device))
