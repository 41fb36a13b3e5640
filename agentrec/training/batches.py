"""Batches of histories of similar length, in an order that depends on seed and epoch only.

Rows are shuffled, cut into pools of ``POOL`` batches, sorted by length inside a pool, and the batches shuffled again:
little padding, and still random.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agentrec.core.rng import generator
from agentrec.core.types import IntArray

POOL = 50


def batches_by_length(lengths: IntArray, batch_size: int, *, seed: int, epoch: int) -> list[IntArray]:
    """Row indexes of every batch of one epoch; only the last one may be short.

    Args:
        lengths: (R,) int64 length of each row.
        batch_size: rows per batch.
        seed: of the run.
        epoch: 0-based; each has its own order.
    """
    rng = generator(seed, "batches", epoch)
    order = rng.permutation(len(lengths))
    pools = [order[start : start + POOL * batch_size] for start in range(0, len(order), POOL * batch_size)]
    rows = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]) if pools else order
    full = len(rows) // batch_size * batch_size
    batches = [*rows[:full].reshape(-1, batch_size)]
    shuffled = [batches[position] for position in rng.permutation(len(batches))]
    return shuffled + ([rows[full:]] if full < len(rows) else [])


class LengthSampler:
    """Row indexes for a data loader, in the order of `batches_by_length`; a new order every epoch.

    The order is a function of the *global* batch, so one process with batch 2b and two processes with batch b see the
    same rows in the same steps.
    """

    def __init__(self, lengths: IntArray, batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader at the start of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        for batch in batches_by_length(self.lengths, self.batch_size, seed=self.seed, epoch=self.epoch):
            yield from batch.tolist()
