"""Prompts of similar length share a batch, and a batch stays within a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from agentrec.core.types import IntArray

TOKENS_PER_BATCH = 4096  # of prompts and beams together, bounds memory


def batches_by_tokens(lengths: Sequence[int], beam_tokens: int) -> Iterator[IntArray]:
    """Rows grouped by similar length, each group within `TOKENS_PER_BATCH` padded prompt and beam tokens."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * (lengths[order[stop]] + beam_tokens) <= TOKENS_PER_BATCH:
            stop += 1
        yield order[start:stop].astype(np.int64)
        start = stop
