"""`StaticIndex.search` on CPUs: compiled loops over exactly the allowed children, on as many threads as torch has.

Every batch row keeps a heap of its k best. Most children are dismissed by one comparison with the worst of them, so
that no list of candidates is ever written, sorted or masked. Of equal scores the lower beam, then the lower code, comes
first.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agentrec.decoding import kernels
from agentrec.decoding.candidates import Candidates, Frontier, not_a_number

if TYPE_CHECKING:
    from agentrec.decoding.csr import StaticIndex

WORTH_A_THREAD = 20_000  # children per call, below which another thread costs more than it saves


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
    rows, size = states.shape[0], index.level_sizes[level]
    where = np.arange(size) if columns is None else columns.numpy()
    none = np.zeros((rows, 0), np.int64)
    skip = none if barred is None or level < len(index.tokens) - 1 else barred.numpy()
    allowed = np.zeros(0, np.uint8) if bits is None else bits.numpy()
    values, places, edges = torch.empty(rows, k), torch.empty(rows, k).long(), torch.empty(rows, k).long()
    out = (values.numpy(), places.numpy(), edges.numpy())
    lines = logprobs.detach().float().numpy()
    trie = (*index.host[level], allowed, skip)
    given = ((states.numpy(), scores.detach().float().numpy()), (lines, where), trie, out)
    work = states.numel() * index.branches[level]
    if kernels.NAN in _spread(np.arange(rows), given, int(min(torch.get_num_threads(), 1 + work // WORTH_A_THREAD))):
        not_a_number()
    dead = edges < 0
    places.masked_fill_(dead, 0)
    ends = edges if level < len(index.tokens) - 1 else index.items[edges.clamp_min(0)].long().masked_fill(dead, -1)
    return Candidates(values, places // size, places % size, ends)


def _spread(rows: Any, given: tuple[Any, ...], threads: int) -> list[int]:
    """Run the kernel on parts of the rows, each on a thread."""
    if threads == 1 or len(rows) == 1:
        return [kernels.best_children(rows, *given)]
    return list(_pool().map(lambda part: kernels.best_children(part, *given), np.array_split(rows, threads)))
