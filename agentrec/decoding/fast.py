"""`StaticIndex.search` on CPUs: compiled loops over exactly the allowed children, on as many threads as torch has.

`agentrec.decoding.search_kernels` says how: no list of all candidates is ever written, sorted or masked. Of equal scores
the lower beam, then the lower code, comes first.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentrec.decoding import search_kernels
from agentrec.decoding.candidates import Candidates, Frontier, not_a_number

if TYPE_CHECKING:
    from agentrec.decoding.csr import StaticIndex

WORTH_A_THREAD = 20_000  # children per call, below which another thread costs more than it saves


NOTHING = np.zeros(0, np.uint8)


@cache
def _all_codes(size: int) -> NDArray[np.int64]:
    return np.arange(size)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="decoding")


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
    threads = min(torch.get_num_threads(), 1 + work // WORTH_A_THREAD, rows)
    if search_kernels.NAN in _spread(np.arange(rows), given, threads):
        not_a_number()
    return Candidates(*(torch.from_numpy(part) for part in out))


def _spread(rows: Any, given: tuple[Any, ...], threads: int) -> list[int]:
    """Run the kernel on parts of the rows, each on a thread."""
    if threads <= 1:
        return [search_kernels.best_children(rows, *given)]
    return list(_pool().map(lambda part: search_kernels.best_children(part, *given), np.array_split(rows, threads)))
