"""`StaticIndex.search` on CPUs: compiled loops over exactly the allowed children, on as many threads as torch has.

`agentrec.decoding.children.kernels` says how: no list of all candidates is ever written, sorted or masked. Of equal
scores the lower beam, then the lower code, comes first.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentrec.decoding.children import kernels as search_kernels
from agentrec.decoding.children.candidates import Candidates, Frontier, not_a_number
from agentrec.decoding.children.threads import spread

if TYPE_CHECKING:
    from agentrec.decoding.index.csr import StaticIndex

NOTHING = np.zeros(0, np.uint8)


@cache
def _all_codes(size: int) -> NDArray[np.int64]:
    return np.arange(size)


@cache
def _nothing(rows: int) -> NDArray[np.int64]:
    return np.zeros((rows, 0), np.int64)


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    """The numbers of a tensor, copied only where they do not lie in order."""
    return (tensor.detach() if tensor.requires_grad else tensor).contiguous().numpy()


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
    """See `agentrec.decoding.children.candidates.best`, and `StaticIndex.top_candidates` for ``bits``.

    Raises:
        DataError: a log-probability of a candidate is not a number.
    """
    level, states, scores, _ = beams
    rows, last = states.shape[0], level == len(index.tokens) - 1
    where = _all_codes(index.level_sizes[level]) if columns is None else _array(columns)
    skip = _array(barred) if last and barred is not None else _nothing(rows)
    scores_out, numbers = np.empty((rows, k), np.float32), np.empty((3, rows, k), np.int64)
    given = (
        (_array(states), _array(scores.float())),
        (_array(logprobs.float()), where),
        (*index.host[level], NOTHING if bits is None else bits.numpy(), skip),
        (scores_out, numbers),
    )
    work = states.numel() * index.branches[level]
    if search_kernels.NAN in spread(lambda part: search_kernels.best_children(part, *given), rows, work):
        not_a_number()
    return Candidates(torch.from_numpy(scores_out), *torch.from_numpy(numbers).unbind(0))
