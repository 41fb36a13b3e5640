"""Binary search in the sorted array of packed rows, for every beam and every code (parallel prefix verification).

No index but the sorted rows. A step costs B x M x K searches of log2 N reads each.
"""

from __future__ import annotations

import numpy as np
import torch

from agentrec.core.errors import DataError
from agentrec.core.types import IntArray
from agentrec.decoding.index.packing import Layout


class SortedRows:
    """All rows as whole numbers, sorted.

    Args:
        codes: (N, L) int64.
        level_sizes: K_l per level.

    Raises:
        DataError: a row needs more than 63 bits.
    """

    def __init__(self, codes: IntArray, level_sizes: tuple[int, ...]) -> None:
        layout = Layout.of(level_sizes)
        if layout.num_words > 1 or layout.used_bits(0) > 63:
            raise DataError(f"level sizes {level_sizes} need more than 63 bits per row; expected fewer")
        self.layout = layout
        self.rows = torch.from_numpy(np.sort(layout.pack(codes)[0]).astype(np.int64))

    def allowed(self, prefixes: torch.Tensor) -> torch.Tensor:
        """See `agentrec.testing.decoding_rivals.masked.PrefixMask`."""
        level = prefixes.shape[1]
        start = torch.zeros(len(prefixes), dtype=torch.long)
        for step in range(level):
            start |= prefixes[:, step] << self.layout.shift[step]
        unit = 1 << self.layout.shift[level]
        wanted = start[:, None] + torch.arange(self.layout.level_sizes[level]) * unit
        at = torch.searchsorted(self.rows, wanted).clamp_max(len(self.rows) - 1)
        found = self.rows[at]
        return (found >= wanted) & (found < wanted + unit)
