"""Batches cover all rows within their budget."""

import numpy as np

from agentrec.decoding.search.batches import TOKENS_PER_BATCH, batches_by_tokens


def test_batches_cover_all_rows_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(1, 900, 200)
    batches = list(batches_by_tokens(lengths.tolist(), 60))
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    assert all(len(b) == 1 or len(b) * (lengths[b].max() + 60) <= TOKENS_PER_BATCH for b in batches)
