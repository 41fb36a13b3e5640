"""Bucketed batches: every row once, little padding, the same for any number of processes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.training.batches import LengthSampler, batches_by_length


@given(st.lists(st.integers(1, 60), max_size=200), st.integers(1, 16), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_row_once_and_only_the_last_batch_short(lengths: list, size: int, epoch: int) -> None:
    batches = batches_by_length(np.array(lengths, np.int64), size, seed=0, epoch=epoch)
    assert sorted(np.concatenate([*batches, np.zeros(0, np.int64)]).astype(int).tolist()) == list(range(len(lengths)))
    assert all(len(batch) == size for batch in batches[:-1])


def test_batches_waste_less_than_random_ones_and_differ_by_epoch() -> None:
    lengths = np.random.default_rng(0).geometric(0.15, 4000)
    padded = sum(lengths[batch].max() * len(batch) for batch in batches_by_length(lengths, 32, seed=0, epoch=0))
    order = np.random.default_rng(0).permutation(4000)[: 4000 // 32 * 32].reshape(-1, 32)
    assert padded < 1.15 * lengths.sum()
    assert sum(lengths[batch].max() * len(batch) for batch in order) > 2 * lengths.sum()
    sampler = LengthSampler(lengths, 32, seed=0)
    first = list(sampler)
    assert first == list(sampler)
    sampler.set_epoch(1)
    assert first != list(sampler)
