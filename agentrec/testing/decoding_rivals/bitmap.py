"""One bitmap of hashed prefixes per level: small, fast to build, and not exact.

A code may follow if the bit of the longer prefix is set. Different prefixes share bits, so that prefixes that no item
has pass too, and a wide beam finds them.
"""

from __future__ import annotations

import numpy as np
import torch

from agentrec.core.types import IntArray

MIX = -7046029254386353131  # 2**64 divided by the golden ratio, odd, as a signed number


class HashedPrefixes:
    """Bits of all prefixes.

    Args:
        codes: (N, L) int64.
        size: K, codes per level.
        bits: 2**bits bits per level.
    """

    def __init__(self, codes: IntArray, size: int, bits: int) -> None:
        self.size, self.bits = size, bits
        self.maps = []
        keys = torch.zeros(len(codes), dtype=torch.long)
        for column in codes.T:
            keys = _mixed(keys, torch.from_numpy(np.ascontiguousarray(column)))
            bitmap = torch.zeros(1 << bits, dtype=torch.bool)
            bitmap[self._place(keys)] = True
            self.maps.append(torch.from_numpy(np.packbits(bitmap.numpy(), bitorder="little")))

    @property
    def nbytes(self) -> int:
        """Memory of all bitmaps."""
        return sum(len(bitmap) for bitmap in self.maps)

    def allowed(self, prefixes: torch.Tensor) -> torch.Tensor:
        """See `agentrec.testing.decoding_rivals.masked.PrefixMask`."""
        keys = torch.zeros(len(prefixes), dtype=torch.long)
        for code in prefixes.T:
            keys = _mixed(keys, code)
        place = self._place(_mixed(keys[:, None], torch.arange(self.size)))
        return ((self.maps[prefixes.shape[1]][place >> 3] >> (place & 7)) & 1).bool()

    def _place(self, keys: torch.Tensor) -> torch.Tensor:
        return (keys >> (63 - self.bits)) & ((1 << self.bits) - 1)


def _mixed(keys: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Keys of longer prefixes; multiplication wraps around."""
    mixed = (keys ^ (codes + 1)) * MIX
    return (mixed ^ (mixed >> 29)) * MIX
