"""`StaticIndex.search` on CPUs: compiled loops over exactly the allowed children, on as many threads as torch has.

`agentrec.decoding.search_kernels` says how: no list of all candidates is ever written, sorted or masked. Of equal
scores the lower beam, then the lower code, comes first.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from agentrec.decoding import search_kernels
from agentrec.decoding.candidates import Candidates, Frontier, not_a_number
from agentrec.decoding.threads import spread

if TYPE_CHECKING:
    from agentrec.decoding.csr import StaticIndex

NOTHING = np.zeros(0, np.uint8)


@cache
def _all_codes(size: int) -> NDArray[np.int64]:
    return np.arange(size)


def search_on_cpu(
    index: StaticIndex,
    beams: Frontier,
    logprobs: torch.Tensor,
    k: int,
    *,
    columns: torch.Tensor | None = None,
    barred: torch.Tensor | None = None,
    bits: torch.Tensor | None = None,
) -> Candidates:
    """See `agentrec.decoding.candidates.best`, and `StaticIndex.top_candidates` for ``bits``.

    Raises:
        DataError: a log-probability of a candidate is not a number.
    """
    level, states, scores, _ = beams
    rows, last = states.shape[0], level == len(index.tokens) - 1
    where = _all_codes(index.level_sizes[level]) if columns is None else columns.numpy()
    barring = last and barred is not None
    skip = barred.numpy() if barring else np.zeros((rows, 0), np.int64)  # type: ignore[union-attr]
    allowed = NOTHING if bits is None else bits.numpy()
    shape = (rows, k)
    out = (np.empty(shape, np.float32), np.empty(shape, np.int64), np.empty(shape, np.int64), np.empty(shape, np.int64))
    lines = logprobs.detach().float().contiguous().numpy()
    given = (
        (states.contiguous().numpy(), scores.detach().float().contiguous().numpy()),
        (lines, where),
        (*index.host[level], allowed, skip),
        out,
    )
    work = states.numel() * index.branches[level]
    if search_kernels.NAN in spread(lambda part: search_kernels.best_children(part, *given), rows, work):
        not_a_number()
    return Candidates(*(torch.from_numpy(part) for part in out))
