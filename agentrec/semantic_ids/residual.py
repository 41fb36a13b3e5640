"""What residual quantisers share: a code per level, each for what the levels before it left, and sums of code vectors.

A level is anything that assigns codes to residuals and has a codebook; how it was fitted is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from agentrec.core.errors import DataError
from agentrec.core.types import FloatArray, IntArray

ROWS = 65_536  # encoded at once
RIDGE = 10.0  # as if each code had been seen ten times more, where its codebook says; a smaller one hurts new items


def encode_levels(
    vectors: FloatArray, codebooks: Sequence[FloatArray], assign: Callable[[FloatArray, int], IntArray]
) -> IntArray:
    """Codes level by level: assign, subtract the code vector, go on with what remains.

    Args:
        vectors: (N, D) float32; left as they are.
        codebooks: L arrays (K_l, D) float32.
        assign: residuals (N, D) float32 and level 0..L-1 -> codes (N,) int64.

    Returns:
        (N, L) int64.
    """
    codes = np.empty((len(vectors), len(codebooks)), np.int64)
    for start in range(0, len(vectors), ROWS):
        part = slice(start, start + ROWS)
        residuals = vectors[part].copy()
        for level, book in enumerate(codebooks):
            codes[part, level] = assign(residuals, level)
            residuals -= book[codes[part, level]]
    return codes


def fit_jointly(vectors: FloatArray, codes: IntArray, codebooks: Sequence[FloatArray]) -> list[FloatArray]:
    """Codebooks whose sums come nearest to the vectors, the codes being given.

    Level by level, each codebook is best for what the levels before it left; together they can do better, because a
    code meets other codes than it was fitted with. With X the vectors, B the (N, sum K) incidence of codes and C the
    given codebooks: ``C + (B'B + r I)^-1 B'(X - B C)``, the ridge r keeping rare codes near C.

    Args:
        vectors: (N, D) float32.
        codes: (N, L) int64.
        codebooks: L arrays (K_l, D) float32.

    Returns:
        L arrays (K_l, D) float32.
    """
    from scipy.linalg import solve
    from scipy.sparse import csr_array

    sizes = [len(book) for book in codebooks]
    columns = codes + np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = np.repeat(np.arange(len(codes)), len(sizes))
    shape = (len(codes), sum(sizes))
    incidence = csr_array((np.ones(columns.size), (rows, columns.ravel())), shape=shape)
    together = (incidence.T @ incidence).toarray()
    together[np.diag_indices(shape[1])] += RIDGE
    missing = incidence.T @ (vectors - decode_sum(codes, codebooks))
    change = solve(together, missing, assume_a="pos")
    parts = np.split(change, np.cumsum(sizes)[:-1])
    return [(book + part).astype(np.float32) for book, part in zip(codebooks, parts, strict=True)]


def decode_sum(codes: Any, codebooks: Sequence[FloatArray]) -> FloatArray:
    """Sum of the code vectors: (N, 1..L) int64 -> (N, D) float32; fewer levels give the coarser vectors.

    Raises:
        DataError: the codes have another shape, or lie outside their level.
    """
    table = checked_codes(codes, [len(book) for book in codebooks])
    total = np.zeros((len(table), codebooks[0].shape[1]), np.float32)
    for column, book in zip(table.T, codebooks, strict=False):
        total += book[column]
    return total


def checked_codes(codes: Any, sizes: Sequence[int]) -> IntArray:
    """Codes as (N, 1..L) int64, each inside its level.

    Raises:
        DataError: they have another shape, or the first that lies outside its level, by its row.
    """
    table = np.asarray(codes)
    if table.ndim != 2 or not 1 <= table.shape[1] <= len(sizes) or not np.issubdtype(table.dtype, np.integer):
        raise DataError(
            f"codes have shape {table.shape} and type {table.dtype}; expected (N, 1..{len(sizes)}) integers"
        )
    outside = (table < 0) | (table >= np.array(sizes[: table.shape[1]]))
    if outside.any():
        row, level = (int(place) for place in np.argwhere(outside)[0])
        raise DataError(
            f"row {row} has code {int(table[row, level])} on level {level + 1}; expected 0 to {sizes[level] - 1}"
        )
    return table.astype(np.int64, copy=False)
